package zkregistry

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// kill ends a node's process as kill -9 does: nothing more of it gets through, and its lock is given back.
func (w *world) kill(n *modelNode, s object.Session) {
	w.crash(s)
	n.proof.close()
}

func TestAProcessThatIsStartedAgainWaitsForNobody(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		dir := filepath.Join(t.TempDir(), "state")
		n := w.node(Options{StateDir: dir})
		a := n.join("a")
		w.claim(a, "k")
		second := a.Member()
		second.Session = 1
		_, err := n.Join(t.Context(), second)
		w.must(err)
		w.kill(n, a)
		again := w.node(Options{StateDir: dir}).join("a")
		if member, live := w.is(a); member || live {
			t.Error("the predecessor is still there")
		}
		if names := w.children("/todo/members"); len(names) != 1 {
			t.Errorf("members: %v", names)
		}
		w.noWait(w.claim(again, "k"))
	})
}

// Who lives has the lock; who is not known to have died under this boot may live on another machine.
func TestWithoutAProofThePredecessorIsLeftAlone(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, w *world, dir string, n *modelNode, a object.Session){
		"it lives": func(t *testing.T, w *world, dir string, n *modelNode, a object.Session) { w.crash(a) },
		"another boot": func(t *testing.T, w *world, dir string, n *modelNode, a object.Session) {
			w.kill(n, a)
			file := filepath.Join(dir, proofFile)
			data, err := os.ReadFile(file)
			w.must(err)
			boot, err := currentBoot()
			w.must(err)
			w.must(os.WriteFile(file, []byte(strings.Replace(string(data), boot, uuid.NewString(), 1)), 0o600))
		},
		"a copy of the folder": func(t *testing.T, w *world, dir string, n *modelNode, a object.Session) {
			w.must(os.Rename(dir, dir+"-original")) // its process lives
			w.must(os.CopyFS(dir, os.DirFS(dir+"-original")))
		},
		"cut short": func(t *testing.T, w *world, dir string, n *modelNode, a object.Session) {
			w.kill(n, a)
			w.must(os.Truncate(filepath.Join(dir, proofFile), 20))
		},
		"lost": func(t *testing.T, w *world, dir string, n *modelNode, a object.Session) {
			w.kill(n, a)
			w.must(os.Remove(filepath.Join(dir, proofFile)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				dir := t.TempDir()
				n := w.node(Options{StateDir: dir})
				a := n.join("a")
				spoil(t, w, dir, n, a)
				w.node(Options{StateDir: dir})
				if member, live := w.is(a); !member || !live {
					t.Error("it was removed")
				}
			})
		})
	}
}

// What has retired is not looked for again, and a process that loses its session and joins anew is known by both incarnations.
func TestTheProofNamesWhatIsInTheRegistry(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		dir := t.TempDir()
		n := w.node(Options{StateDir: dir})
		known := func() (ids []uuid.UUID) {
			d, err := n.proof.read()
			w.must(err)
			return d.Incarnations
		}
		a, b := n.join("a"), n.join("b")
		if ids := known(); len(ids) != 2 || ids[0] != a.Member().Incarnation || ids[1] != b.Member().Incarnation {
			t.Error(ids)
		}
		w.must(a.Retire(t.Context()))
		if ids := known(); len(ids) != 1 || ids[0] != b.Member().Incarnation {
			t.Error(ids)
		}
		w.must(b.Retire(t.Context()))
		if ids := known(); len(ids) != 0 {
			t.Error(ids)
		}
	})
}

// Before there is anything of an incarnation in the registry, the file names it: else a crash in between leaves it without a proof.
func TestTheProofComesBeforeThePair(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		dir := t.TempDir()
		n := w.node(Options{StateDir: dir})
		w.must(os.RemoveAll(dir))
		if _, err := n.Join(t.Context(), object.Member{Incarnation: uuid.New(), Name: "a"}); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		if names := w.children("/todo/members"); len(names) != 0 {
			t.Errorf("it has joined: %v", names)
		}
	})
}

func TestAStateDirectoryThatCannotBeIsRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		file := filepath.Join(t.TempDir(), "file")
		w.must(os.WriteFile(file, nil, 0o600))
		if _, err := w.open(Options{StateDir: file}); err == nil || !strings.Contains(err.Error(), file) {
			t.Error(err)
		}
	})
}

// What is closed has given its state directory back: it does not write there any more.
func TestAClosedRegistryWritesNoProof(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		dir := filepath.Join(t.TempDir(), "state")
		first := w.node(Options{StateDir: dir})
		w.must(first.Close())
		second := w.node(Options{StateDir: dir})
		a := second.join("a")
		if _, err := first.Registry.Join(t.Context(), object.Member{Incarnation: uuid.New(), Name: "late"}); err == nil {
			t.Fatal("a closed registry lets somebody in")
		}
		w.kill(second, a)
		w.node(Options{StateDir: dir})
		if member, live := w.is(a); member || live {
			t.Error("the predecessor's proof was overwritten: it is still there")
		}
	})
}
