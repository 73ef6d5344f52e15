//go:build unix

package servers

import (
	"os/exec"
	"syscall"
)

// ownGroup keeps signals that a terminal sends to the tests from a process.
func ownGroup(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
