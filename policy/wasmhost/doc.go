// Package wasmhost runs policies as WebAssembly guests: it admits modules, bounds what they may use, pools their
// instances and calls them; it knows no catalog, no request path and no network.
//
// # From bytes to calls
//
// Host.Load checks a module (see Fault), rewrites it so that it gives way to the node every few microseconds (package
// meter), compiles it in a child process with bounded memory and time, starts one instance, hands it its config,
// and keeps a snapshot of it. Further instances are copies of that snapshot. Loading the same thing again returns the
// Program that is already there.
//
// # What bounds a guest
//
// Time: a guest that has spent its fuel calls the host, which looks at the clock and traps it past the policy's limit.
// Memory: each instance lies in its own reservation, which cannot grow past the policy's limit, and whose pages are
// touched while it grows, so that no store waits for the operating system. A guest that trapped is put back to its
// snapshot. Three traps in ten seconds put the policy in quarantine; its last good version takes its calls, if the host
// still holds one.
//
// # What a guest can know
//
// The view of the current request and what it wrote itself: the input is cleared after every call, and with Clean or
// Fresh isolation nothing at all outlives a request. Its key-values belong to the policy's name and outlive its
// versions.
package wasmhost
