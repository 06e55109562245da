// Package downstream is the client's connection: how its bytes are written in few system calls and under a
// deadline, and whether the client is still there. It knows no HTTP.
package downstream
