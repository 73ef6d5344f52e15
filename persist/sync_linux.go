package persist

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncFileSystem makes all of the file system that f is on durable, see syncfs(2).
func syncFileSystem(f *os.File) error {
	return os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd())))
}
