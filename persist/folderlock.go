package persist

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// lockFile lies in the root of a Directory. Who has the lock on it may use the folder; it holds that
// process's id, for people. The name is none that a blob can have.
const lockFile = ".lock"

// A folderLock is this process's sole right to a folder, for as long as the process or the file lives.
type folderLock struct {
	dir  string // absolute
	file *os.File
	info os.FileInfo
}

var errLocked = errors.New("locked")

// lockFolder takes the lock of the folder dir, which root has open.
func lockFolder(dir string, root *os.Root) (*folderLock, error) {
	f, err := root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the lock file: %w", advised(err))
	}
	l := &folderLock{dir: dir, file: f}
	if err := l.take(); err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

func (l *folderLock) take() error {
	switch err := tryLock(l.file); {
	case errors.Is(err, errLocked):
		return fmt.Errorf("in use by %s; close it there first, or choose another folder", l.holder())
	case err != nil:
		return fmt.Errorf("lock %s: %w; choose a folder on a file system that has locks", lockFile, err)
	}
	var err error
	if l.info, err = l.file.Stat(); err != nil {
		return err
	}
	if err := l.check(); err != nil {
		return err
	}
	// For people only, so a full disk is no reason to fail.
	if l.file.Truncate(0) == nil {
		_, _ = fmt.Fprintf(l.file, "%d\n", os.Getpid())
	}
	return nil
}

func (l *folderLock) holder() string {
	pid, err := io.ReadAll(io.LimitReader(l.file, 20))
	if err != nil || len(pid) == 0 {
		return "another process"
	}
	return "process " + strings.TrimSpace(string(pid))
}

// check reports whether the folder's path still leads to the folder that was locked, and the lock file is
// still there to keep others out. A folder can be moved, removed and made again, unmounted or mounted over.
func (l *folderLock) check() error {
	info, err := os.Stat(filepath.Join(l.dir, lockFile))
	if err != nil {
		return fmt.Errorf("folder %s is gone, or its file %s is: %w; bring it back, then open it again", l.dir, lockFile, err)
	}
	if !os.SameFile(info, l.info) {
		return fmt.Errorf("folder %s is another one than was opened, or its file %s was made anew; open it again", l.dir, lockFile)
	}
	return nil
}

func (l *folderLock) release() error { return l.file.Close() }
