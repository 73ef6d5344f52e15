package persist

import (
	"io"
	"io/fs"
	"os"
)

// A disk is what a [Directory] needs of a file system. There are two: rootDisk, and in the tests a simulated
// one that loses power. Names are relative to the root, "." is the root itself, and none leads out of it.
//
// Files and folders each have a sync of their own: that of a file makes its content durable, that of a
// folder makes durable what was created in it, renamed into it and removed from it.
type disk interface {
	Create(name string) (openFile, error) // a new file; it must not exist
	ReadFile(name string) ([]byte, error)
	Size(name string) (int64, error)
	ReadFolder(name string) ([]fs.DirEntry, error)
	OpenFolder(name string) (openFolder, error)
	MakeFolder(name string) error
	Rename(from, to string) error // replaces the file to
	Remove(name string) error
	SyncAll() error // everything that can be read now
	Close() error
}

type openFolder interface {
	Sync() error
	io.Closer
}

type openFile interface {
	openFolder
	io.Writer
}

// rootDisk is the operating system's file system below one folder. It goes on meaning that folder when the
// folder is renamed, or when something is mounted over it.
type rootDisk struct{ root *os.Root }

func (d rootDisk) Create(name string) (openFile, error) {
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d rootDisk) OpenFolder(name string) (openFolder, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d rootDisk) ReadFolder(name string) ([]fs.DirEntry, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

func (d rootDisk) Size(name string) (int64, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (d rootDisk) ReadFile(name string) ([]byte, error) { return d.root.ReadFile(name) }
func (d rootDisk) MakeFolder(name string) error         { return d.root.Mkdir(name, 0o700) }
func (d rootDisk) Rename(from, to string) error         { return d.root.Rename(from, to) }
func (d rootDisk) Remove(name string) error             { return d.root.Remove(name) }
func (d rootDisk) Close() error                         { return d.root.Close() }

func (d rootDisk) SyncAll() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return syncFileSystem(f)
}
