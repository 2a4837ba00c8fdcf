//! A path guard that fails in the way that the last component of a path says.

#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({ world: "path-guard", path: "../../../wit" });

use exports::portcullis::plugin::path_policy::{Decision, Failure, Guest, Request, Session};
use portcullis::plugin::log::{self, Level};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

struct Faulty;
export!(Faulty);

impl Guest for Faulty {
    fn decide(_session: Session, requests: Vec<Request>) -> Result<Vec<Decision>, Failure> {
        std::panic::set_hook(Box::new(|panic| {
            log::write(Level::Error, &panic.to_string())
        }));

        let mut decisions = Vec::with_capacity(requests.len());
        let (mut short, mut long) = (false, false);
        for request in &requests {
            let name = request.path.rsplit('/').next().unwrap_or_default();
            let says = |word| name.contains(word);
            if says("trap") {
                panic!("a trap on purpose");
            } else if says("loop") {
                turn_for_ever();
            } else if says("memory") {
                allocate_for_ever();
            } else if says("stack") {
                recurse(black_box(u64::MAX));
            } else if says("internal") {
                return Err(Failure::Internal("internal on purpose".into()));
            }
            short |= says("short");
            long |= says("long");
            decisions.push(if says("hide") {
                Decision::Hide
            } else if says("deny") {
                Decision::Deny("Denied on purpose".into())
            } else {
                Decision::Allow
            });
        }
        if short {
            decisions.pop();
        }
        if long {
            decisions.push(Decision::Allow);
        }
        Ok(decisions)
    }
}

fn turn_for_ever() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn allocate_for_ever() -> ! {
    let mut pieces = Vec::new();
    loop {
        pieces.push(black_box(vec![1_u8; 1 << 20]));
    }
}

static RETURNED: AtomicU64 = AtomicU64::new(0);

/// The work after the call keeps each of the frames. They take nothing of the stack in the guest's own
/// memory, which might else end first.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    if depth == 0 {
        return 0;
    }
    let below = recurse(depth - 1);
    below.rotate_left(3) ^ RETURNED.fetch_add(below, Relaxed)
}
