// Package runtime has what generated bindings need of the canonical ABI: memory that the server
// writes into, and handles.
package runtime

import (
	"runtime"
	"unsafe"
)

// While the server hands something over, a plugin may call nothing, and Go's collector asks for the
// time. So nothing may be allocated then: what is handed over is cut from memory that was made
// before. What does not fit, or comes before there is a heap, is cut from a reserve and never given
// back; from then on there is room for as much.
const block = 1 << 20

var (
	room    uintptr       = 320 << 10 // for what one call brings: a chunk of 256 KiB and its company
	brought uintptr                   // what this call has brought
	spare   []byte                    // what is left to cut from
	reserve [8 << 20]byte             // takes no memory until it is used
	used    uintptr                   // of the reserve; set before there is a heap, so not by an init
)

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
	room, brought = max(room, brought), 0
	if uintptr(len(spare)) < room {
		spare = make([]byte, room+block)
	}
}

//go:wasmexport cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if size == 0 {
		return unsafe.Pointer(align)
	}
	var cut []byte
	if uintptr(len(spare)) >= size+align {
		start := -uintptr(unsafe.Pointer(unsafe.SliceData(spare))) & (align - 1)
		cut, spare = spare[start:start+size], spare[start+size:]
	} else {
		base := uintptr(unsafe.Pointer(&reserve))
		start := (base+used+align-1)&^(align-1) - base
		used = start + size
		cut = reserve[start:used]
	}
	brought += size + align
	if oldSize > 0 {
		copy(cut, unsafe.Slice((*byte)(old), oldSize))
	}
	return unsafe.Pointer(unsafe.SliceData(cut))
}

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
