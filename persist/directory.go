package persist

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/highlander-go/highlander/object"
)

// Directory is an [object.Store] in a folder of a file system: each blob is a file there, its name the path.
// One process has it open at a time. A tag is a hash of the content, so equal contents have equal tags.
//
// A put writes a new file beside the blobs, syncs it, renames it into its place and syncs the folder. At
// whatever point the process is killed or the power fails, the blob is the old one or the new one, whole;
// after the put has returned it is the new one. Nothing is read that a loss of power could still take
// back: a reader waits for the put of that name, and Open syncs what a killed process may have left.
//
// If a folder cannot be synced, nobody knows what is on the disk, and asking again proves nothing (Linux
// reports such a failure once). Then every call fails until the folder is opened anew.
//
// It must be a local file system that has locks, atomic rename and sync of folders, and nobody else may write
// there. Folders that have become empty stay. A listing reads the folders on its way again for every page, and looks at each file on it.
type Directory struct {
	disk disk
	home home

	names     nameLocks
	folders   folderSet
	temporary atomic.Uint64 // counts temporary files

	broken  atomic.Pointer[error] // why no call goes through any more
	closing sync.RWMutex          // held for reading by every call
	closed  bool
}

// A home is the folder's standing in the world: that it is still there and still ours.
type home interface {
	check() error
	release() error
}

// temporaryFolder holds files that are being written, on the same file system as where they are going. The
// name is none that a blob can have.
const temporaryFolder = ".tmp"

var errDirectoryClosed = errors.New("the store is closed")

// OpenDirectory opens the store in the folder dir and makes the folder if it is missing; the folder
// around it must exist. It fails when the folder is open already, in this process or another. What an
// interrupted process left unfinished is removed. Close it after use.
func OpenDirectory(dir string) (*Directory, error) {
	d, err := openDirectory(dir)
	if err != nil {
		return nil, fmt.Errorf("open folder %s: %w", dir, err)
	}
	return d, nil
}

func openDirectory(dir string) (*Directory, error) {
	dir, err := filepath.Abs(dir) // the working directory may change
	if err != nil {
		return nil, err
	}
	if err := makeRoot(dir); err != nil {
		return nil, advised(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, advised(err)
	}
	lock, err := lockFolder(dir, root)
	if err != nil {
		root.Close()
		return nil, err
	}
	d := &Directory{disk: rootDisk{root}, home: lock}
	if err := d.mend(); err != nil {
		lock.release()
		root.Close()
		return nil, err
	}
	return d, nil
}

// makeRoot makes the folder if it is missing, but not the ones around it: under a mistyped path, or where a
// disk is not mounted, a new and empty store would be no help.
func makeRoot(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; make the folder around it first", err)
	}
	if err != nil {
		return err
	}
	around, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return err
	}
	defer around.Close()
	return around.Sync()
}

// mend makes the folder ready after whatever has happened to its last process.
func (d *Directory) mend() error {
	if err := d.disk.MakeFolder(temporaryFolder); err != nil && !errors.Is(err, fs.ErrExist) {
		return advised(err)
	}
	for _, folder := range []string{temporaryFolder, checkFolder} {
		left, err := d.disk.ReadFolder(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, f := range left {
			if err := d.disk.Remove(folder + "/" + f.Name()); err != nil {
				return fmt.Errorf("remove what an interrupted process left: %w", advised(err))
			}
		}
	}
	// A process killed between a rename and the folder's sync leaves a blob that can be read and that a
	// loss of power would take back. Nobody remembers which.
	if err := d.disk.SyncAll(); err != nil {
		return fmt.Errorf("make what is there durable: %w", err)
	}
	return d.syncFolder(".") // also shows whether this file system can sync folders at all
}

// Close waits for the calls that are under way and lets go of the folder. Calls made after it fail.
func (d *Directory) Close() error {
	d.closing.Lock()
	defer d.closing.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	return errors.Join(d.disk.Close(), d.home.release())
}

// enter begins a call; leave ends it.
func (d *Directory) enter(ctx context.Context) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.closing.RLock()
	if d.closed {
		err = errDirectoryClosed
	} else {
		err = d.standing()
	}
	if err != nil {
		d.closing.RUnlock()
		return nil, err
	}
	return d.closing.RUnlock, nil
}

// enterName is enter for a call on one blob, which then has the blob to itself.
func (d *Directory) enterName(ctx context.Context, name string) (leave func(), err error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	exit, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	unlock, err := d.names.lock(ctx, name)
	if err != nil {
		exit()
		return nil, err
	}
	leave = func() { unlock(); exit() }
	if err := d.standing(); err != nil { // again: whoever had the lock may have found out
		leave()
		return nil, err
	}
	return leave, nil
}

// standing reports why no call may go through.
func (d *Directory) standing() error {
	if broken := d.broken.Load(); broken != nil {
		return *broken
	}
	return d.home.check()
}

// giveUp records that the disk may not hold what can be read from it.
func (d *Directory) giveUp(cause error) error {
	err := fmt.Errorf("the disk failed and may not hold what was written: %w; check it, then open the folder again", cause)
	d.broken.CompareAndSwap(nil, &err)
	return err
}

// Get implements [object.Store].
func (d *Directory) Get(ctx context.Context, name string) ([]byte, object.Tag, error) {
	leave, err := d.enterName(ctx, name)
	if err != nil {
		return nil, "", opGet.notBegun(name, err)
	}
	defer leave()
	body, err := d.read(name)
	if err != nil {
		return nil, "", opGet.failed(name, advised(err))
	}
	return body, tagOf(body), nil
}

// Put implements [object.Store].
func (d *Directory) Put(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
	leave, err := d.enterName(ctx, name)
	if err != nil {
		return "", opPut.notBegun(name, err)
	}
	defer leave()
	if c != (object.Condition{}) {
		if _, err := d.meets(name, c); err != nil {
			return "", opPut.failed(name, err)
		}
	}
	if err := d.replace(name, body); err != nil {
		return "", opPut.failed(name, err)
	}
	return tagOf(body), nil
}

// Delete implements [object.Store].
func (d *Directory) Delete(ctx context.Context, name string, c object.Condition) error {
	leave, err := d.enterName(ctx, name)
	if err != nil {
		return opDelete.notBegun(name, err)
	}
	defer leave()
	exists, err := d.meets(name, c)
	if err == nil && exists {
		err = d.remove(name)
	}
	if err != nil {
		return opDelete.failed(name, err)
	}
	return nil
}

// meets tells whether there is a blob, and fails when it does not meet the condition.
func (d *Directory) meets(name string, c object.Condition) (exists bool, err error) {
	body, err := d.read(name)
	switch {
	case err == nil:
		return true, c.Check(true, tagOf(body))
	case errors.Is(err, object.ErrNoBlob), errors.Is(err, syscall.EISDIR):
		return false, c.Check(false, "")
	}
	return false, refused(err)
}

// read returns the blob, and ErrNoBlob only if the folder is there and the blob is not in it.
func (d *Directory) read(name string) ([]byte, error) {
	body, err := d.disk.ReadFile(name)
	switch {
	case err == nil:
		return body, nil
	case errors.Is(err, fs.ErrNotExist): // a folder in its place is another error: somebody has been at work here
		if gone := d.home.check(); gone != nil {
			return nil, gone
		}
		return nil, object.ErrNoBlob
	}
	return nil, err
}

// tagOf is the first half of the content's SHA-256.
func tagOf(body []byte) object.Tag {
	sum := sha256.Sum256(body)
	return object.Tag(hex.EncodeToString(sum[:16]))
}
