package client

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/highlander-go/highlander/internal/zk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for what must happen.
const patience = 30 * time.Second

// A journal keeps a session's events.
type journal struct {
	mu     sync.Mutex
	events []zk.Event
	more   chan struct{} // closed at the next event
}

func newJournal() *journal { return &journal{more: make(chan struct{})} }

func (j *journal) add(e zk.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
	close(j.more)
	j.more = make(chan struct{})
}

func (j *journal) all() []zk.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.events)
}

func (j *journal) count(e zk.Event) int {
	n := 0
	for _, event := range j.all() {
		if event == e {
			n++
		}
	}
	return n
}

// await waits until e has come n times.
func (j *journal) await(t *testing.T, e zk.Event, n int) {
	t.Helper()
	timeout := time.After(patience)
	for {
		j.mu.Lock()
		more := j.more
		j.mu.Unlock()
		if j.count(e) >= n {
			return
		}
		select {
		case <-more:
		case <-timeout:
			t.Fatalf("event %v %q has come %d times, not %d; all: %v", e.Type, e.Path, j.count(e), n, j.all())
		}
	}
}

func newEnsemble(t *testing.T, servers []string, options Options) *Ensemble {
	t.Helper()
	e, err := New(servers, options)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// open opens a session that the test closes when it ends.
func open(t *testing.T, e *Ensemble, timeout time.Duration) (*session, *journal) {
	t.Helper()
	events := newJournal()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	opened, err := e.Open(ctx, timeout, events.add)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = opened.Close(ctx)
	})
	return opened.(*session), events
}

// root makes a node for the test alone, and returns its path.
func root(t *testing.T, s zk.Session) string {
	t.Helper()
	path, err := s.Create(t.Context(), "/test", nil, zk.Persistent)
	if err != nil {
		path = "/test"
	}
	path += fmt.Sprintf("/%d", time.Now().UnixNano())
	must(t)(s.Create(t.Context(), path, nil, zk.Persistent))
	return path
}

// must returns a function that ends the test at an error.
func must(t *testing.T) func(string, error) string {
	return func(result string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// await waits until what holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}
