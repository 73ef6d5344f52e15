//go:build unix && !linux

package persist

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncFileSystem asks for all file systems to be made durable. Without a syncfs there is no more to be had:
// sync(2) may return before it is done.
func syncFileSystem(*os.File) error { return os.NewSyscallError("sync", unix.Sync()) }
