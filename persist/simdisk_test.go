package persist

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// A simDisk is a file system that can fail, or stop, at any of its operations, and lose what was not synced.
// It is harsher than real ones: after a loss of power each unsynced change of a folder has happened or not,
// independently of all others, and an unsynced file has any beginning of what was written.
type simDisk struct {
	mu   sync.Mutex
	root *simNode

	operations int   // done so far
	stopAt     int   // before this one the process dies: a panic with simDeath
	failAt     int   // this one fails with failure
	failure    error // an errno
	stopped    bool

	// Syncs that are lies, to see whether the tests notice.
	fileSyncLies, folderSyncLies, syncAllLies bool
}

type simDeath struct{}

// A simNode is a file or, if entries is not nil, a folder.
type simNode struct {
	entries, durableEntries map[string]*simNode
	body, durableBody       []byte
}

func newSimFolder() *simNode {
	return &simNode{entries: map[string]*simNode{}, durableEntries: map[string]*simNode{}}
}

func newSimDisk() *simDisk { return &simDisk{root: newSimFolder()} }

// simHome is the home of a simulated disk, which cannot be lost.
type simHome struct{}

func (simHome) check() error   { return nil }
func (simHome) release() error { return nil }

func openSimulated(tb interface {
	Fatal(...any)
	Cleanup(func())
}, disk *simDisk) *Directory {
	d := &Directory{disk: disk, home: simHome{}}
	if err := d.mend(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { d.Close() })
	return d
}

// step counts an operation and returns the error that it shall fail with. The disk is locked until done is called.
func (d *simDisk) step() (done func(), err error) {
	d.mu.Lock()
	d.operations++
	if d.stopped || d.operations == d.stopAt {
		d.stopped = true
		d.mu.Unlock()
		panic(simDeath{})
	}
	if d.operations == d.failAt {
		err = d.failure
	}
	return d.mu.Unlock, err
}

func (d *simDisk) find(name string) (*simNode, error) {
	n := d.root
	if name == "." {
		return n, nil
	}
	for segment := range strings.SplitSeq(name, "/") {
		if n.entries == nil {
			return nil, syscall.ENOTDIR
		}
		if n = n.entries[segment]; n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

func (d *simDisk) findFolder(name string) (*simNode, error) {
	n, err := d.find(name)
	if err == nil && n.entries == nil {
		err = syscall.ENOTDIR
	}
	return n, err
}

func (d *simDisk) add(name string, n *simNode) error {
	folder, err := d.findFolder(path.Dir(name))
	if err != nil {
		return err
	}
	if folder.entries[path.Base(name)] != nil {
		return syscall.EEXIST
	}
	folder.entries[path.Base(name)] = n
	return nil
}

func (d *simDisk) Create(name string) (openFile, error) {
	done, err := d.step()
	defer done()
	if err != nil {
		return nil, err
	}
	n := new(simNode)
	return &simFile{d, n}, d.add(name, n)
}

func (d *simDisk) MakeFolder(name string) error {
	done, err := d.step()
	defer done()
	if err != nil {
		return err
	}
	return d.add(name, newSimFolder())
}

func (d *simDisk) ReadFile(name string) ([]byte, error) {
	done, err := d.step()
	defer done()
	if err != nil {
		return nil, err
	}
	n, err := d.find(name)
	if err == nil && n.entries != nil {
		err = syscall.EISDIR
	}
	if err != nil {
		return nil, err
	}
	return bytes.Clone(n.body), nil
}

func (d *simDisk) Size(name string) (int64, error) {
	done, err := d.step()
	defer done()
	if err != nil {
		return 0, err
	}
	n, err := d.find(name)
	if err != nil {
		return 0, err
	}
	return int64(len(n.body)), nil
}

func (d *simDisk) ReadFolder(name string) ([]fs.DirEntry, error) {
	done, err := d.step()
	defer done()
	if err != nil {
		return nil, err
	}
	n, err := d.findFolder(name)
	if err != nil {
		return nil, err
	}
	var entries []fs.DirEntry
	for name, n := range n.entries {
		entries = append(entries, simEntry{name, n.entries != nil})
	}
	return entries, nil
}

func (d *simDisk) OpenFolder(name string) (openFolder, error) {
	done, err := d.step()
	defer done()
	if err != nil {
		return nil, err
	}
	n, err := d.findFolder(name)
	return &simFile{d, n}, err
}

func (d *simDisk) Rename(from, to string) error {
	done, err := d.step()
	defer done()
	if err != nil {
		return err
	}
	n, err := d.find(from)
	if err != nil {
		return err
	}
	folder, err := d.findFolder(path.Dir(to))
	if err != nil {
		return err
	}
	if old := folder.entries[path.Base(to)]; old != nil && old.entries != nil {
		return syscall.EISDIR
	}
	folder.entries[path.Base(to)] = n
	source, err := d.findFolder(path.Dir(from))
	delete(source.entries, path.Base(from))
	return err
}

func (d *simDisk) Remove(name string) error {
	done, err := d.step()
	defer done()
	if err != nil {
		return err
	}
	if _, err := d.find(name); err != nil {
		return err
	}
	folder, err := d.findFolder(path.Dir(name))
	delete(folder.entries, path.Base(name))
	return err
}

func (d *simDisk) SyncAll() error {
	done, err := d.step()
	defer done()
	if err == nil && !d.syncAllLies {
		d.root.each((*simNode).sync)
	}
	return err
}

func (d *simDisk) Close() error { return nil }

// each calls do for every file and folder that is reachable.
func (n *simNode) each(do func(*simNode)) {
	do(n)
	for _, child := range n.entries {
		child.each(do)
	}
}

func (n *simNode) sync() {
	if n.entries != nil {
		n.durableEntries = maps.Clone(n.entries)
	}
	n.durableBody = bytes.Clone(n.body)
}

// restart makes the disk usable after the process has died. When the power was lost with it, random decides
// over everything that was not synced.
func (d *simDisk) restart(powerLost bool, random *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped, d.stopAt, d.failAt = false, 0, 0
	if powerLost {
		d.root.losePower(random)
	}
}

func (n *simNode) losePower(random *rand.Rand) {
	if n.entries == nil {
		if !bytes.Equal(n.body, n.durableBody) {
			n.body = n.body[:random.IntN(len(n.body)+1)]
		}
		n.sync()
		return
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(n.entries)), maps.Keys(n.durableEntries))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if random.IntN(2) == 0 {
			continue
		}
		if old := n.durableEntries[name]; old != nil {
			n.entries[name] = old
		} else {
			delete(n.entries, name)
		}
	}
	n.durableEntries = maps.Clone(n.entries)
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		n.entries[name].losePower(random)
	}
}

type simFile struct {
	disk *simDisk
	node *simNode
}

func (f *simFile) Write(b []byte) (int, error) {
	done, err := f.disk.step()
	defer done()
	if err != nil {
		f.node.body = append(f.node.body, b[:len(b)/2]...)
		return len(b) / 2, err
	}
	f.node.body = append(f.node.body, b...)
	return len(b), nil
}

func (f *simFile) Sync() error {
	done, err := f.disk.step()
	defer done()
	if err != nil {
		return err
	}
	if lies := f.disk.fileSyncLies && f.node.entries == nil || f.disk.folderSyncLies && f.node.entries != nil; !lies {
		f.node.sync()
	}
	return nil
}

func (f *simFile) Close() error { return nil }

type simEntry struct {
	name   string
	folder bool
}

func (e simEntry) Name() string               { return e.name }
func (e simEntry) IsDir() bool                { return e.folder }
func (e simEntry) Info() (fs.FileInfo, error) { return nil, fmt.Errorf("not simulated") }
func (e simEntry) Type() fs.FileMode {
	if e.folder {
		return fs.ModeDir
	}
	return 0
}
