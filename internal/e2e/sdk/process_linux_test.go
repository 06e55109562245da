package sdk

import (
	"os/exec"
	"syscall"
)

// dieWithParent keeps processes from outliving a test run that is killed.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
