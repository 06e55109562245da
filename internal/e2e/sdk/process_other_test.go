//go:build !linux

package sdk

import "os/exec"

// dieWithParent does nothing: only Linux can tie a process to its parent.
func dieWithParent(*exec.Cmd) {}
