//! The allocator of the daemon, which forgets.

#![allow(unsafe_code, reason = "an allocator cannot be written otherwise")]

use std::{
    alloc::{GlobalAlloc, Layout},
    hint, ptr,
};

use tikv_jemallocator::Jemalloc;

/// The largest piece of memory that is overwritten when it is given back. Lines, passwords, keys and
/// what libraries make of them (records of TLS, arguments of plugins, bodies of requests) are smaller;
/// buffers of transfers are larger, and stay as quick as they are.
const LARGEST: usize = 8 << 10;

/// jemalloc, in front of which small pieces of memory are overwritten before they are given back: a
/// library that decrypts, parses or copies a password frees its copy as it is.
///
/// jemalloc gives memory back to the system when a load is over. The C library's allocator keeps what
/// each of many threads has used at its peak: ten times as much after some hundred logins and transfers.
pub struct Forgetful;

// SAFETY: each function passes on what it was given to jemalloc's, whose contract is the same, and
// gives what that gives. In between it writes to no memory but that of a live allocation, within its
// layout.
unsafe impl GlobalAlloc for Forgetful {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { Jemalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is the same.
        unsafe { Jemalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if layout.size() <= LARGEST {
            // SAFETY: the caller owns this memory, of this size, and nobody reads it any more.
            unsafe { ptr::write_bytes(memory, 0, layout.size()) };
            // Nothing is known of what happens to it here, so that the zeros have to be there.
            hint::black_box(memory);
        }
        // SAFETY: the caller keeps the contract of `dealloc`, which is the same.
        unsafe { Jemalloc.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.size() > LARGEST {
            // SAFETY: the caller keeps the contract of `realloc`, which is the same.
            return unsafe { Jemalloc.realloc(memory, layout, size) };
        }
        // SAFETY: the alignment is valid, as it was; the caller promises a size that is not zero and
        // fits.
        let layout_of_new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the size is not zero.
        let new = unsafe { Jemalloc.alloc(layout_of_new) };
        if !new.is_null() {
            // SAFETY: both are live and different, and each has at least so many bytes; the old one is
            // the caller's to give back.
            unsafe {
                ptr::copy_nonoverlapping(memory, new, layout.size().min(size));
                self.dealloc(memory, layout);
            }
        }
        new
    }
}
