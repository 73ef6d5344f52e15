package integration

import (
	"os/exec"
	"syscall"
)

// endWithParent has the kernel kill the process when the test's process ends, in whatever way.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
