//go:build wasip1

package wedge1

import "unsafe"

// The module's only instance serves one call at a time.
var (
	served  Policy
	input   = make([]byte, 16<<10)
	actions = Actions{list: make([]byte, 0, 4<<10)}

	// A view that lived on the stack would escape to the heap for each call.
	request  Request
	response Response
	chunk    Chunk
	done     Done
)

// Serve makes p the module's policy. Call it from init.
func Serve(p Policy) { served = p }

func address(b []byte) uint32 { return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

//go:wasmexport wedge1_caps
func exportCaps() uint32 { return uint32(served.caps()) }

//go:wasmexport wedge1_alloc
func exportAlloc(size uint32) uint32 {
	if int(size) > len(input) {
		input = make([]byte, max(int(size), 2*len(input)))
	}
	return address(input)
}

//go:wasmexport wedge1_init
func exportInit(n uint32) int32 {
	if served.Init == nil {
		return 0
	}
	return int32(code(served.Init(append([]byte(nil), input[:n]...))))
}

//go:wasmexport wedge1_request
func exportRequest(n uint32) int64 {
	actions.reset()
	if served.Request == nil {
		return 0
	}
	request.b = input[:n]
	return result(served.Request(&request, &actions))
}

//go:wasmexport wedge1_response
func exportResponse(n uint32) int64 {
	actions.reset()
	if served.Response == nil {
		return 0
	}
	response.b = input[:n]
	return result(served.Response(&response, &actions))
}

//go:wasmexport wedge1_chunk
func exportChunk(n uint32) int64 {
	actions.reset()
	if served.Chunk == nil {
		return 0
	}
	chunk.b = input[:n]
	return result(served.Chunk(&chunk, &actions))
}

//go:wasmexport wedge1_done
func exportDone(n uint32) int64 {
	actions.reset()
	if served.Done == nil {
		return 0
	}
	done.b = input[:n]
	return result(served.Done(&done, &actions))
}

func result(err error) int64 {
	if err != nil {
		return code(err)
	}
	if len(actions.list) == 0 {
		return 0
	}
	return int64(address(actions.list))<<32 | int64(len(actions.list))
}

//go:wasmimport wedge1 log
func hostLog(level uint32, text unsafe.Pointer, n uint32)

//go:wasmimport wedge1 kv_get
func hostGet(key unsafe.Pointer, keyLen uint32, dst unsafe.Pointer, capacity uint32) int32

//go:wasmimport wedge1 kv_put
func hostPut(key unsafe.Pointer, keyLen uint32, value unsafe.Pointer, n, ttl uint32) int32

//go:wasmimport wedge1 kv_add
func hostAdd(key unsafe.Pointer, keyLen uint32, delta int64, ttl uint32) int64

//go:wasmimport wedge1 now_ms
func hostNow() int64

func pointer(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

// Log writes a line to the node's log at once, also where the call fails later.
func Log(level uint32, text []byte) { hostLog(level, pointer(text), uint32(len(text))) }

// Get copies the key's value to dst if it fits, and returns its length, or -1 if there is none.
func Get(key, dst []byte) int {
	return int(hostGet(pointer(key), uint32(len(key)), pointer(dst), uint32(len(dst))))
}

// Put keeps a value for ttl seconds, 0 while the node runs. It returns false if the value or key is too long.
func Put(key, value []byte, ttl uint32) bool {
	return hostPut(pointer(key), uint32(len(key)), pointer(value), uint32(len(value)), ttl) >= 0
}

// Add adds to a counter that is kept for ttl seconds from its first addition, and returns the sum.
func Add(key []byte, delta int64, ttl uint32) int64 {
	return hostAdd(pointer(key), uint32(len(key)), delta, ttl)
}

// Now is the time, in Unix milliseconds.
func Now() int64 { return hostNow() }
