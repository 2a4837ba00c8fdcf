// Package runtime has what generated bindings need of the canonical ABI: memory that the server
// writes into, and handles.
package runtime

import (
	"runtime"
	"unsafe"
)

const (
	block   = 1 << 20
	largest = 320 << 10 // what one call brings: a chunk of 256 KiB and its company
)

var (
	// Go's start already asks the server for things, and its adapter for memory (its stack and
	// its state, 64 KiB each), before there is a heap.
	early     [256 << 10]byte
	earlyUsed uintptr
	ready     bool

	spare  []byte   // what is left of the last block
	larger [][]byte // what did not fit, until the bindings have lifted it
)

func init() {
	spare = make([]byte, block)
	ready = true
}

// Allocate returns memory for the server to write into, alive as long as pinner holds it. Bindings
// call it ahead of each call that brings something back.
func Allocate(pinner *runtime.Pinner, size, align uintptr) unsafe.Pointer {
	Unpin()
	words := make([]uint64, size/8+1)
	memory := unsafe.Pointer(unsafe.SliceData(words))
	pinner.Pin(memory)
	return memory
}

// Unpin lets go of what the server wrote; what was lifted from it keeps itself alive.
func Unpin() {
	larger = nil
	if len(spare) < largest {
		spare = make([]byte, block)
	}
}

// While the server hands something over, a plugin may call nothing. Go's collector asks for the
// time, so this cuts from memory that was made before; where there is not enough of it, the
// adapter answers with the time it knows.
//
//go:wasmexport cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if size == 0 {
		return unsafe.Pointer(align)
	}
	if !ready {
		start := (earlyUsed + align - 1) &^ (align - 1)
		if earlyUsed = start + size; earlyUsed > uintptr(len(early)) {
			return nil
		}
		return unsafe.Pointer(&early[start])
	}
	gap := -uintptr(unsafe.Pointer(unsafe.SliceData(spare))) & (align - 1)
	var cut []byte
	if end := gap + size; end < uintptr(len(spare)) {
		cut, spare = spare[gap:end:end], spare[end:]
	} else {
		setClockPaused(true)
		cut = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(make([]uint64, size/8+1)))), size)
		larger = append(larger, cut)
		setClockPaused(false)
	}
	if oldSize > 0 {
		copy(cut, unsafe.Slice((*byte)(old), oldSize))
	}
	return unsafe.Pointer(unsafe.SliceData(cut))
}

//go:wasmimport wasi_snapshot_preview1 adapter_monotonic_clock_set_paused
func setClockPaused(paused bool)

// Handle is a resource of the server's; none once it was given away.
type Handle struct{ value int32 }

func MakeHandle(value int32) *Handle { return &Handle{value} }

// Use returns the handle; it panics after Take.
func (h *Handle) Use() int32 {
	if h.value == 0 {
		panic("the resource was given away")
	}
	return h.value
}

// Take returns the handle and leaves none.
func (h *Handle) Take() int32 {
	value := h.Use()
	h.value = 0
	return value
}

// TakeOrNil is Take, and 0 where there is none left.
func (h *Handle) TakeOrNil() int32 {
	value := h.value
	h.value = 0
	return value
}

func (h *Handle) Set(value int32) { h.value = value }
