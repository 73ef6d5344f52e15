package object_test

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
)

var integer = object.Codec[int64]{Append: codec.AppendInt[int64], Read: codec.ReadInt[int64]}

// adding is add as objgen would write it.
var adding = &object.UpdateMethod[counter, int64, int64]{Name: add.Name, Run: add.Run, Args: integer, Results: integer}

// The paths that nearly all calls take allocate no more than this.
func TestAllocations(t *testing.T) {
	h := benchHost(t)
	ctx := t.Context()
	lists, c := benchLists.On(h), counters.On(h)
	if err := lists.Put(ctx, "l", benchList{Todos: make([]string, 100)}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct {
		name string
		most float64
		call func() error
	}{
		{"view of a struct with slices", 0, func() error { _, err := lists.View(ctx, "l"); return err }},
		{"get of a flat struct", 0, func() error { _, err := c.Get(ctx, "a"); return err }},
		{"read method", 1, func() error { _, err := openCount.Call(ctx, lists.Ref("l"), object.None{}); return err }},
		{"read as generated code calls it", 0, func() error { _, err := open(ctx, lists.Ref("l")); return err }},
		// The call, the new state, its snapshot and what is kept of the call; the rest is the store's: a copy of the record, its tag and its name.
		{"update", 7, func() error { _, err := adding.Call(ctx, c.Ref("a"), 1); return err }},
	} {
		if err := p.call(); err != nil {
			t.Fatal(err)
		}
		got := testing.AllocsPerRun(1000, func() {
			if err := p.call(); err != nil {
				t.Error(err)
			}
		})
		if object.RaceDetector && p.most > 1 {
			t.Logf("%s: %v allocations; not held to %v, for pools lose things on purpose under the race detector", p.name, got, p.most)
		} else if got > p.most {
			t.Errorf("%s: %v allocations, at most %v", p.name, got, p.most)
		}
	}
}

// A loopback hands calls to itself: what it allocates is nothing.
type loopback struct{ reply []byte }

func (l *loopback) Call(context.Context, object.Member, *object.Request) ([]byte, error) {
	return l.reply, nil
}

// What a call of another node's object costs on this one, besides its transport: the request, the encoded argument, and the decoded result.
func TestAllocationsOfARemoteCall(t *testing.T) {
	registry := memregistry.New(memregistry.Options{})
	defer registry.Close()
	reply := []byte{0, 0x92, 0, 0x91, 1} // the version, the layout, the state
	h, err := object.NewHost(object.HostConfig{Registry: registry, Transport: &loopback{reply}, Serves: []string{}}, counters)
	if err != nil {
		t.Fatal(err)
	}
	owner := object.Member{Incarnation: uuid.New(), Address: "there", Types: []object.Served{{Type: "counter"}}}
	session, err := registry.Join(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Retire(context.Background())
	got := testing.AllocsPerRun(1000, func() {
		if _, err := counters.On(h).View(t.Context(), "a"); err != nil {
			t.Error(err)
		}
	})
	if got > 3 && !object.RaceDetector {
		t.Errorf("%v allocations, at most 3", got)
	}
}

// An idle object that was never written takes no more than this.
func TestIdleBytes(t *testing.T) {
	const objects, most = 100_000, 512
	if object.RaceDetector {
		t.Skip("the race detector makes everything larger: make test runs this without it")
	}
	if got := idleBytes(t, objects); got > most {
		t.Errorf("%.0f bytes per idle object, at most %d", got, most)
	}
}
