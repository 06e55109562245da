// Package upstream makes one attempt against one endpoint over HTTP/1.1 and hands out the answer's body as a
// reader; aborting an attempt closes its socket. It knows no provider, no dialect and no retry policy.
//
// A Call holds no buffer while it waits for bytes: buffers come from a pool when the socket is readable and go
// back as soon as they are decoded, so that an idle stream costs its connection, its response head and little else.
package upstream
