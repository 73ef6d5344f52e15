package persist

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/highlander-go/highlander/object"
)

// mount mounts something on dir until the test ends, and skips the test where that is not allowed.
func mount(t *testing.T, source, dir, kind string, flags uintptr, data string) {
	t.Helper()
	err := unix.Mount(source, dir, kind, flags, data)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSYS) {
		t.Skipf("NOT TESTED HERE: mounting a file system needs root: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

func makeReadOnly(t *testing.T, dir string) {
	t.Helper()
	mount(t, dir, dir, "", unix.MS_BIND, "")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	mount(t, "none", dir, "tmpfs", 0, "size=1m")
	d := openTestDirectory(t, dir)
	tag, err := d.Put(t.Context(), "a", []byte("old"), object.IfAbsent())
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Put(t.Context(), "a", make([]byte, 2<<20), object.IfMatch(tag))
	if !errors.Is(err, object.ErrRefused) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "the disk is full, make room") {
		t.Errorf("put: got %v, want it refused because the disk is full", err)
	}
	if body, again, err := d.Get(t.Context(), "a"); err != nil || string(body) != "old" || again != tag {
		t.Errorf("get: got %q, tag %q, error %v; want the old blob", body, again, err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, temporaryFolder)); err != nil || len(left) > 0 {
		t.Errorf("the unfinished file takes up room: %v, %v", left, err)
	}
	if _, err := d.Put(t.Context(), "a", []byte("new"), object.IfMatch(tag)); err != nil {
		t.Errorf("there is room for this one: %v", err)
	}
}

func TestReadOnlyFileSystem(t *testing.T) {
	dir := t.TempDir()
	d := openTestDirectory(t, dir)
	tag, err := d.Put(t.Context(), "o/a", []byte("old"), object.IfAbsent())
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{temporaryFolder, "o"} {
		t.Run(part, func(t *testing.T) {
			makeReadOnly(t, filepath.Join(dir, part))
			_, err := d.Put(t.Context(), "o/a", []byte("new"), object.IfMatch(tag))
			if !errors.Is(err, object.ErrRefused) {
				t.Errorf("put: got %v, want it refused", err)
			}
			if body, _, err := d.Get(t.Context(), "o/a"); err != nil || string(body) != "old" {
				t.Errorf("get: got %q, %v; want the old blob", body, err)
			}
			if part == "o" {
				if err := d.Delete(t.Context(), "o/a", object.Condition{}); !errors.Is(err, object.ErrRefused) || !errors.Is(err, syscall.EROFS) {
					t.Errorf("delete: got %v, want it refused", err)
				}
			} else if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "mount it for writing") {
				t.Errorf("put: got %v, want that the file system is read-only", err)
			}
		})
	}
	if _, err := d.Put(t.Context(), "o/a", []byte("new"), object.IfMatch(tag)); err != nil {
		t.Errorf("after it is writable again: %v", err)
	}
}

func TestOpenDirectoryOnReadOnlyFileSystem(t *testing.T) {
	dir := t.TempDir()
	makeReadOnly(t, dir)
	if _, err := OpenDirectory(dir); !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "mount it for writing") {
		t.Errorf("got %v, want that the file system is read-only", err)
	}
}

func TestVanishedMountIsNotAnEmptyStore(t *testing.T) {
	dir := t.TempDir()
	mount(t, "none", dir, "tmpfs", 0, "size=1m")
	d := openTestDirectory(t, dir)
	if _, err := d.Put(t.Context(), "o/a", []byte("body"), object.IfAbsent()); err != nil {
		t.Fatal(err)
	}
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	expectVanished(t, d)
}

func TestFolderWithoutPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("NOT TESTED HERE: permission bits do not bind root; TestReadOnlyFileSystem has the same path")
	}
	dir := t.TempDir()
	d := openTestDirectory(t, dir)
	if err := os.Chmod(filepath.Join(dir, temporaryFolder), 0o500); err != nil {
		t.Fatal(err)
	}
	_, err := d.Put(t.Context(), "a", nil, object.Condition{})
	if !errors.Is(err, object.ErrRefused) || !errors.Is(err, os.ErrPermission) {
		t.Errorf("got %v, want it refused for want of permission", err)
	}
}
