package object_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/highlander-go/highlander/object"
)

// ids lists the counters as the node finds them, sorted.
func (n *node) ids(prefix string) (ids []string) {
	n.world.Helper()
	for id, err := range counters.On(n).IDs(n.world.Context(), prefix) {
		if err != nil {
			n.world.Fatal(err)
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func TestIDsAreOfObjectsThatExist(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.serves = []string{}
		client := w.node("client")
		expect := func(prefix string, want ...string) {
			t.Helper()
			for name, n := range map[string]*node{"the owner": n, "a client": client} {
				if got := n.ids(prefix); !slices.Equal(got, want) {
					t.Errorf("%s, prefix %q: %q, want %q", name, prefix, got, want)
				}
			}
		}
		expect("")
		all := counters.On(n)
		for _, id := range []string{"a", "b", "b/1", "b/ü", "c"} {
			if err := all.Put(w.Context(), id, counter{1}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := all.Get(w.Context(), "never written"); err != nil {
			t.Fatal(err)
		}
		expect("", "a", "b", "b/1", "b/ü", "c")
		expect("b", "b", "b/1", "b/ü")
		expect("b/\xc3", "b/ü")
		expect("never")
		for _, id := range []string{"a", "b/1"} {
			if err := all.Delete(w.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		expect("", "b", "b/ü", "c")
		w.mustAdd(n, 1, 1)
		expect("", "a", "b", "b/ü", "c")
		if got := client.ids(""); len(got) != 4 || w.calls[n.id] != 0 {
			t.Errorf("%q; the owner was called %d times", got, w.calls[n.id])
		}
	})
}

// A paged committer lists page after page, and fails where there is none.
type paged struct {
	object.Committer
	pages map[string][]string // by cursor
	asked []string
}

var errPages = errors.New("out of pages")

func (p *paged) List(ctx context.Context, typ, prefix, cursor string, limit int) (ids []string, next string, err error) {
	p.asked = append(p.asked, fmt.Sprintf("%s %s %q %d", typ, prefix, cursor, limit))
	page, ok := p.pages[cursor]
	if !ok {
		return []string{"no id"}, "no cursor", errPages
	}
	return page[1:], page[0], nil
}

func TestIDsTurnPages(t *testing.T) {
	inWorld(t, func(w *world) {
		p := &paged{Committer: w.store, pages: map[string][]string{"": {"1", "x", "a"}, "1": {"2"}, "2": {"3", "b"}, "3": {"", "c"}}}
		w.committer = p
		n := w.node("n")
		if got, want := n.ids("pre"), []string{"a", "b", "c", "x"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		want := []string{`counter pre "" 1000`, `counter pre "1" 1000`, `counter pre "2" 1000`, `counter pre "3" 1000`}
		if !slices.Equal(p.asked, want) {
			t.Errorf("asked for %q, want %q", p.asked, want)
		}
		p.asked = nil
		for range counters.On(n).IDs(w.Context(), "") {
			break // who has enough asks for no more
		}
		if len(p.asked) != 1 {
			t.Errorf("after one id %d pages had been asked for", len(p.asked))
		}
		delete(p.pages, "2")
		var got []string
		for id, err := range counters.On(n).IDs(w.Context(), "") {
			got = append(got, fmt.Sprint(id, errors.Is(err, object.ErrUnavailable), errors.Is(err, errPages)))
		}
		if want := []string{"xfalse false", "afalse false", "true true"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestIDsThatCannotBeListed(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		ended, cancel := context.WithCancel(w.Context())
		cancel()
		fails := func(ctx context.Context, typ *object.Type[counter], want error) {
			t.Helper()
			answers := 0
			for id, err := range typ.On(n).IDs(ctx, "") {
				if answers++; id != "" || !errors.Is(err, want) {
					t.Errorf("got %q, %v; want %v", id, err, want)
				}
			}
			if answers != 1 {
				t.Errorf("%d answers, want one that is %v", answers, want)
			}
		}
		fails(w.Context(), &object.Type[counter]{Name: "unknown"}, object.ErrUnknownType)
		fails(ended, counters, context.Canceled)
		n.host.Close()
		fails(w.Context(), counters, object.ErrClosed)
	})
}
