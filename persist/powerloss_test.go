package persist

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/highlander-go/highlander/object"
)

// An edit is one change of a blob; body nil is a delete.
type edit struct {
	name string
	body []byte
}

// The edits of every scenario: new folders, overwrites, a name in a folder that is there, deletes.
var edits = []edit{
	{"o/list/3/a", []byte("a1")},
	{"o/list/3/b", []byte("b1, a long one")},
	{"o/list/3/a", []byte("a2")},
	{"o/list/4/long+/rest", []byte("rest")},
	{"o/list/3/b", nil},
	{"o/list/3/a", []byte("a3")},
	{"o/list/3/b", []byte("b2")},
	{"o/user/4/a", []byte("other")},
	{"o/list/3/a", nil},
}

func (e edit) apply(ctx context.Context, s object.Store) error {
	if e.body == nil {
		return s.Delete(ctx, e.name, object.Condition{})
	}
	_, err := s.Put(ctx, e.name, e.body, object.Condition{})
	return err
}

// A history is what has been done to a disk, over all its processes: for each name, the contents that a
// reader may find (nil: none).
type history map[string][][]byte

func (h history) begun(e edit) { h[e.name] = append(h.may(e.name), e.body) }
func (h history) sure(e edit)  { h[e.name] = [][]byte{e.body} }

func (h history) may(name string) [][]byte {
	if len(h[name]) == 0 {
		return [][]byte{nil}
	}
	return h[name]
}

// run opens the disk and applies the edits until the process dies or all are done.
func (h history) run(ctx context.Context, disk *simDisk, edits []edit) (died bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(simDeath); !ok {
				panic(r)
			}
			died = true
		}
	}()
	d := &Directory{disk: disk, home: simHome{}}
	if err := d.mend(); err != nil {
		return false, err
	}
	for _, e := range edits {
		h.begun(e)
		if err := e.apply(ctx, d); err != nil {
			return false, err
		}
		h.sure(e)
	}
	return false, nil
}

// verify opens the disk and compares it with the history. What it has read it holds on to: from then on
// nothing else may be found.
func (h history) verify(ctx context.Context, disk *simDisk) error {
	d := &Directory{disk: disk, home: simHome{}}
	if err := d.mend(); err != nil {
		return err
	}
	if left := disk.root.entries[temporaryFolder].entries; len(left) != 0 {
		return fmt.Errorf("%d temporary files are left", len(left))
	}
	listed := make(map[string]bool)
	entries, err := d.List(ctx, "", "", 1000)
	if err != nil {
		return err
	}
	for _, e := range entries {
		listed[e.Name] = true
	}
	for _, e := range edits {
		body, _, err := d.Get(ctx, e.name)
		if err != nil && !errors.Is(err, object.ErrNoBlob) {
			return err
		}
		if listed[e.name] != (err == nil) {
			return fmt.Errorf("%s is listed: %t, and get says %v", e.name, listed[e.name], err)
		}
		if err := h.found(e.name, body, err == nil); err != nil {
			return err
		}
	}
	return nil
}

func (h history) found(name string, body []byte, exists bool) error {
	for _, may := range h.may(name) {
		if (may != nil) == exists && bytes.Equal(may, body) {
			h[name] = [][]byte{may}
			return nil
		}
	}
	return fmt.Errorf("%s is %q (exists: %t), want one of %q", name, body, exists, h.may(name))
}

// dieEverywhere lets the process die before each operation of the disk, with and without a loss of
// power, and look at what is left; it returns the first thing that is wrong.
func dieEverywhere(ctx context.Context, newDisk func() *simDisk) error {
	for _, powerLost := range []bool{false, true} {
		for seed := range uint64(20) {
			for at, died := 1, true; died; at++ {
				var err error
				if died, err = dieOnce(ctx, newDisk(), at, powerLost, rand.New(rand.NewPCG(seed, uint64(at)))); err != nil {
					return fmt.Errorf("death before operation %d, power lost %t, seed %d: %w", at, powerLost, seed, err)
				}
			}
		}
	}
	return nil
}

func dieOnce(ctx context.Context, disk *simDisk, at int, powerLost bool, random *rand.Rand) (died bool, err error) {
	h := make(history)
	disk.stopAt = at
	if died, err = h.run(ctx, disk, edits); err != nil {
		return died, err
	}
	disk.restart(powerLost, random)
	if err := h.verify(ctx, disk); err != nil {
		return died, err
	}
	// What was read then must be there for ever; so must what a second process wrote over what the first had left.
	disk.restart(true, random)
	if err := h.verify(ctx, disk); err != nil {
		return died, fmt.Errorf("what was read is gone: %w", err)
	}
	if _, err := h.run(ctx, disk, edits[:4]); err != nil {
		return died, err
	}
	disk.restart(true, random)
	if err := h.verify(ctx, disk); err != nil {
		return died, fmt.Errorf("after a second process: %w", err)
	}
	return died, nil
}

func TestDirectorySurvivesDeathAtEveryOperation(t *testing.T) {
	if err := dieEverywhere(t.Context(), newSimDisk); err != nil {
		t.Error(err)
	}
}

// The simulation would be worth nothing if it did not notice a sync that is missing.
func TestSimulationNoticesMissingSyncs(t *testing.T) {
	for name, lie := range map[string]func(*simDisk){
		"file":   func(d *simDisk) { d.fileSyncLies = true },
		"folder": func(d *simDisk) { d.folderSyncLies = true },
		"all":    func(d *simDisk) { d.syncAllLies = true },
	} {
		t.Run(name, func(t *testing.T) {
			err := dieEverywhere(t.Context(), func() *simDisk {
				d := newSimDisk()
				lie(d)
				return d
			})
			if err == nil {
				t.Error("nobody noticed")
			}
		})
	}
}

// Every operation of a put fails once. What the put says must be true: refused means that the old blob is
// there and stays, success that the new one is, and anything else that it is one of them; and whatever is
// read afterwards must survive a loss of power.
func TestPutTellsTheTruthAboutFailures(t *testing.T) {
	ctx := t.Context()
	for _, failure := range []error{syscall.ENOSPC, syscall.EROFS, syscall.EACCES, syscall.EIO} {
		refusals, unknowns := 0, 0
		for _, e := range []edit{{"o/list/3/a", []byte("new")}, {"o/list/5/new", []byte("new")}, {"o/list/3/a", nil}} {
			for seed, done := uint64(0), false; !done; seed++ {
				disk := newSimDisk()
				h := make(history)
				if _, err := h.run(ctx, disk, edits[:3]); err != nil {
					t.Fatal(err)
				}
				d := openSimulated(t, disk)
				disk.failure, disk.failAt = failure, disk.operations+int(seed)+1
				err := e.apply(ctx, d)
				done = disk.operations < disk.failAt
				disk.failAt = 0
				switch {
				case err == nil:
					h.sure(e)
				case errors.Is(err, object.ErrRefused):
					refusals++
				default:
					unknowns++
					h.begun(e)
				}
				body, _, getErr := d.Get(ctx, e.name)
				if getErr == nil || errors.Is(getErr, object.ErrNoBlob) {
					if err := h.found(e.name, body, getErr == nil); err != nil {
						t.Errorf("%v at operation %d of %s, which said %v: %v", failure, seed, e.name, err, err)
					}
				}
				disk.restart(true, rand.New(rand.NewPCG(seed, seed)))
				if verifyErr := h.verify(ctx, disk); verifyErr != nil {
					t.Errorf("%v at operation %d of %s, which said %v: after a loss of power: %v", failure, seed, e.name, err, verifyErr)
				}
			}
		}
		if refusals == 0 || unknowns == 0 {
			t.Errorf("%v: %d refusals and %d unknown outcomes; want some of both", failure, refusals, unknowns)
		}
	}
}

func TestNothingIsAnsweredAfterFolderSyncFailed(t *testing.T) {
	ctx := t.Context()
	disk := newSimDisk()
	d := openSimulated(t, disk)
	tag, err := d.Put(ctx, "a", []byte("old"), object.IfAbsent())
	if err != nil {
		t.Fatal(err)
	}
	disk.failure = syscall.EIO
	disk.failAt = disk.operations + len([]string{"read", "open folder", "create", "write", "sync", "rename", "sync folder"})
	_, err = d.Put(ctx, "a", []byte("new"), object.IfMatch(tag))
	if !errors.Is(err, syscall.EIO) || errors.Is(err, object.ErrRefused) {
		t.Errorf("put whose folder was not synced: got %v, want an I/O error that says nothing of the outcome", err)
	}
	if _, _, err := d.Get(ctx, "a"); !errors.Is(err, syscall.EIO) {
		t.Errorf("get: got %v, want the I/O error: what could be read may be gone tomorrow", err)
	}
	if _, err := d.Put(ctx, "b", nil, object.Condition{}); !errors.Is(err, object.ErrRefused) {
		t.Errorf("put: got %v, want it refused", err)
	}
	if _, err := d.List(ctx, "", "", 1); !errors.Is(err, syscall.EIO) {
		t.Errorf("list: got %v, want the I/O error", err)
	}
	if body, _, err := openSimulated(t, disk).Get(ctx, "a"); err != nil || string(body) != "new" {
		t.Errorf("get after opening again: got %q, %v", body, err)
	}
}
