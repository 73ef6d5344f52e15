package zkserver

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel end the process when the test's process is gone, however that came.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
