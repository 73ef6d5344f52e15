//go:build unix

package persist

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/highlander-go/highlander/object"
)

func TestSecondOpenInOneProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	d := openTestDirectory(t, dir)
	if _, err := OpenDirectory(dir); err == nil || !strings.Contains(err.Error(), "in use by process") {
		t.Errorf("got %v, want that the folder is in use", err)
	}
	if _, err := d.Put(t.Context(), "a", nil, object.Condition{}); err != nil {
		t.Errorf("the first is disturbed: %v", err)
	}
	d.Close()
	openTestDirectory(t, dir)
}

func TestBlobsOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	d := openTestDirectory(t, dir)
	tag, err := d.Put(t.Context(), "o/list/3/a", []byte("body"), object.IfAbsent())
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	body, again, err := openTestDirectory(t, dir).Get(t.Context(), "o/list/3/a")
	if err != nil || string(body) != "body" || again != tag {
		t.Errorf("got %q, tag %q, error %v; want the body and tag %q", body, again, err, tag)
	}
}

func TestEqualContentsHaveEqualTags(t *testing.T) {
	d := openTestDirectory(t, t.TempDir())
	a, errA := d.Put(t.Context(), "a", []byte("body"), object.Condition{})
	b, errB := d.Put(t.Context(), "b", []byte("body"), object.Condition{})
	if errors.Join(errA, errB) != nil || a != b {
		t.Errorf("got tags %q and %q, errors %v and %v", a, b, errA, errB)
	}
}

func TestBlobIsTheFileOfItsName(t *testing.T) {
	dir := t.TempDir()
	d := openTestDirectory(t, dir)
	if _, err := d.Put(t.Context(), "o/list/3/a%2f@+", []byte("body"), object.Condition{}); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(filepath.Join(dir, "o", "list", "3", "a%2f@+"))
	if err != nil || string(body) != "body" {
		t.Errorf("got %q, %v", body, err)
	}
}

func TestLeftOversAreRemovedByOpen(t *testing.T) {
	dir := t.TempDir()
	d := openTestDirectory(t, dir)
	d.Close()
	left := filepath.Join(dir, temporaryFolder, "17")
	if err := os.WriteFile(left, []byte("half a bo"), 0o600); err != nil {
		t.Fatal(err)
	}
	d = openTestDirectory(t, dir)
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the left-over file is still there: %v", err)
	}
	if names, err := d.List(t.Context(), "", "", 10); err != nil || len(names) != 0 {
		t.Errorf("listed %v, %v", names, err)
	}
}

func TestForeignFilesAreNoBlobs(t *testing.T) {
	dir := t.TempDir()
	d := openTestDirectory(t, dir)
	if _, err := d.Put(t.Context(), "o/a", nil, object.Condition{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"o/a~", "o/.DS_Store", "README.md", "o/b c"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(dir, "o", "link")); err != nil {
		t.Fatal(err)
	}
	names, err := d.List(t.Context(), "", "", 10)
	if err != nil || len(names) != 1 || names[0].Name != "o/a" {
		t.Errorf("listed %v, %v; want o/a alone", names, err)
	}
}

func TestLinkOutOfTheFolderIsNotFollowed(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	d := openTestDirectory(t, dir)
	if err := os.Symlink(outside, filepath.Join(dir, "o")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Put(t.Context(), "o/a", nil, object.Condition{}); !errors.Is(err, object.ErrRefused) {
		t.Errorf("put: got %v, want it refused", err)
	}
	if _, _, err := d.Get(t.Context(), "o/a"); err == nil {
		t.Error("get followed the link")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("outside there is %v, %v", entries, err)
	}
}

func TestFolderInTheWayOfABlob(t *testing.T) {
	dir := t.TempDir()
	d := openTestDirectory(t, dir)
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Get(t.Context(), "a"); err == nil || errors.Is(err, object.ErrNoBlob) || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("get: got %v, want an error that says what to do, and never that there is surely no blob", err)
	}
	_, err := d.Put(t.Context(), "a", nil, object.Condition{})
	if !errors.Is(err, object.ErrRefused) || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("put: got %v, want it refused, and what to do", err)
	}
	if err := d.Delete(t.Context(), "a", object.Condition{}); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a", "b")); err != nil {
		t.Errorf("delete took the folder: %v", err)
	}
}

func TestCallsAfterCloseFail(t *testing.T) {
	d := openTestDirectory(t, t.TempDir())
	if err := errors.Join(d.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	_, _, getErr := d.Get(t.Context(), "a")
	_, putErr := d.Put(t.Context(), "a", nil, object.Condition{})
	_, listErr := d.List(t.Context(), "", "", 1)
	for what, err := range map[string]error{"get": getErr, "put": putErr, "list": listErr, "delete": d.Delete(t.Context(), "a", object.Condition{})} {
		if !errors.Is(err, errDirectoryClosed) || errors.Is(err, object.ErrNoBlob) {
			t.Errorf("%s: got %v, want that the store is closed", what, err)
		}
		if changes := what == "put" || what == "delete"; changes != errors.Is(err, object.ErrRefused) {
			t.Errorf("%s: %v: matches refused: %t", what, err, !changes)
		}
	}
}

// A folder that is gone must look like nothing but a folder that is gone.
func TestVanishedFolderIsNotAnEmptyStore(t *testing.T) {
	for name, vanish := range map[string]func(t *testing.T, dir string) error{
		"removed":      func(_ *testing.T, dir string) error { return os.RemoveAll(dir) },
		"moved":        func(_ *testing.T, dir string) error { return os.Rename(dir, dir+"-moved") },
		"lock removed": func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, lockFile)) },
		"replaced": func(t *testing.T, dir string) error {
			err := os.Rename(dir, dir+"-moved")
			openTestDirectory(t, dir)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			d := openTestDirectory(t, dir)
			if _, err := d.Put(t.Context(), "o/a", []byte("body"), object.IfAbsent()); err != nil {
				t.Fatal(err)
			}
			if err := vanish(t, dir); err != nil {
				t.Fatal(err)
			}
			expectVanished(t, d)
		})
	}
}

func expectVanished(t *testing.T, d *Directory) {
	t.Helper()
	for _, name := range []string{"o/a", "o/absent"} {
		_, _, err := d.Get(t.Context(), name)
		if err == nil || errors.Is(err, object.ErrNoBlob) || !strings.Contains(err.Error(), "open it again") {
			t.Errorf("get %s: got %v, want that the folder is gone", name, err)
		}
		for _, c := range []object.Condition{{}, object.IfAbsent(), object.IfMatch("tag")} {
			if _, err := d.Put(t.Context(), name, nil, c); !errors.Is(err, object.ErrRefused) || errors.Is(err, object.ErrNoBlob) {
				t.Errorf("put %s: got %v, want it refused", name, err)
			}
			if err := d.Delete(t.Context(), name, c); !errors.Is(err, object.ErrRefused) || errors.Is(err, object.ErrNoBlob) {
				t.Errorf("delete %s: got %v, want it refused", name, err)
			}
		}
	}
	if names, err := d.List(t.Context(), "", "", 10); err == nil {
		t.Errorf("list: got %v and no error", names)
	}
}

func TestOpenDirectoryMakesOnlyTheLastFolder(t *testing.T) {
	around := t.TempDir()
	openTestDirectory(t, filepath.Join(around, "new"))
	_, err := OpenDirectory(filepath.Join(around, "missing", "new"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "make the folder around it") {
		t.Errorf("got %v, want that the folder around it is missing", err)
	}
	file := filepath.Join(around, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDirectory(file); err == nil {
		t.Error("a file was opened as a folder")
	}
}

// The folder is the one that it was when it was opened, wherever the process goes.
func TestRelativePathSurvivesChdir(t *testing.T) {
	t.Chdir(t.TempDir())
	d := openTestDirectory(t, "store")
	t.Chdir(t.TempDir())
	if _, err := d.Put(t.Context(), "a", nil, object.Condition{}); err != nil {
		t.Error(err)
	}
}
