package persist

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"sync"
	"syscall"

	"github.com/highlander-go/highlander/object"
)

// replace makes body the content of the blob. The caller has the name's lock. An error that does not match
// ErrRefused means that the blob may be the new one already.
func (d *Directory) replace(name string, body []byte) error {
	if err := d.makeFolder(path.Dir(name)); err != nil {
		return refused(err)
	}
	// Opened before the rename: after it, having too many open files would leave us in doubt.
	folder, err := d.disk.OpenFolder(path.Dir(name))
	if err != nil {
		d.folders.clear()
		return refused(err)
	}
	defer folder.Close()

	temporary := temporaryFolder + "/" + strconv.FormatUint(d.temporary.Add(1), 10)
	if err := d.write(temporary, body); err != nil {
		_ = d.disk.Remove(temporary) // what cannot be removed now is removed by the next open
		return refused(err)
	}
	if err := d.disk.Rename(temporary, name); err != nil {
		_ = d.disk.Remove(temporary)
		if untouched(err) {
			return refused(err)
		}
		return d.giveUp(err)
	}
	if err := folder.Sync(); err != nil {
		return d.giveUp(err)
	}
	return nil
}

// remove deletes a blob that exists. The caller has the name's lock.
func (d *Directory) remove(name string) error {
	folder, err := d.disk.OpenFolder(path.Dir(name))
	if err != nil {
		return refused(err)
	}
	defer folder.Close()
	if err := d.disk.Remove(name); err != nil {
		if untouched(err) {
			return refused(err)
		}
		return d.giveUp(err)
	}
	if err := folder.Sync(); err != nil {
		return d.giveUp(err)
	}
	return nil
}

// write makes a new durable file.
func (d *Directory) write(name string, body []byte) error {
	f, err := d.disk.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(body); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// makeFolder makes sure that the folder exists durably. That it is there does not say that it is durable,
// for somebody may be making it now: it is once this process has synced the folder around it.
func (d *Directory) makeFolder(name string) error {
	if name == "." || d.folders.has(name) {
		return nil
	}
	parent := path.Dir(name)
	if err := d.makeFolder(parent); err != nil {
		return err
	}
	if err := d.disk.MakeFolder(name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := d.syncFolder(parent); err != nil {
		return err
	}
	d.folders.add(name)
	return nil
}

func (d *Directory) syncFolder(name string) error {
	folder, err := d.disk.OpenFolder(name)
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil {
		return d.giveUp(err)
	}
	return nil
}

// A folderSet holds the folders that are known to be durable.
type folderSet struct {
	mu    sync.Mutex
	names map[string]struct{}
}

// maxFolders bounds the set: ids of more than 200 bytes have folders of their own. What is forgotten costs
// a sync more.
const maxFolders = 10_000

func (s *folderSet) has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.names[name]
	return ok
}

func (s *folderSet) add(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil || len(s.names) >= maxFolders {
		s.names = make(map[string]struct{})
	}
	s.names[name] = struct{}{}
}

func (s *folderSet) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = nil
}

// untouched tells whether a rename or removal that failed like this has surely not taken effect. An I/O
// error tells nothing, and over a network "no such file" may be the answer to a request sent twice.
func untouched(err error) bool {
	for _, known := range []error{
		syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EACCES, syscall.EPERM, syscall.EXDEV,
		syscall.EISDIR, syscall.ENOTDIR, syscall.EEXIST, syscall.ENOTEMPTY, syscall.EMFILE, syscall.ENFILE,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// refused says that the operation has surely not taken effect.
func refused(err error) error {
	return fmt.Errorf("%w: %w", object.ErrRefused, advised(err))
}

// advised is err with what a person can do about that failure of the file system.
func advised(err error) error {
	if hint := advice(err); hint != "" {
		return fmt.Errorf("%w; %s", err, hint)
	}
	return err
}

func advice(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the disk is full, make room on it"
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only, mount it for writing"
	case errors.Is(err, fs.ErrPermission):
		return "let this process's user read and write in the folder"
	case errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return "a folder is where a blob belongs or a blob where a folder does, move it away"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "raise the limit of open files"
	}
	return ""
}
