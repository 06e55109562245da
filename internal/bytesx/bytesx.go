// Package bytesx holds the two unsafe conversions between bytes and strings, the only unsafe code of the module.
package bytesx

import "unsafe"

// String is b as a string, without a copy. It is valid as long as b is, and b must not change meanwhile.
func String(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Bytes is s as bytes, without a copy. They must not be changed.
func Bytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
