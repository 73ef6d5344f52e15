package supervisor_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/highlander-go/highlander/supervisor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A life is what one instance of a child does. The zero life is up at once, runs until its context ends and returns then.
type life struct {
	up     time.Duration // says ready this long after its start
	never  bool          // never says ready
	ends   time.Duration // ends by itself this long after its start; 0: never
	err    error         // what it then returns
	panics any           // what it then panics with, if not nil
	stop   time.Duration // returns this long after its context ended
	bad    error         // what it then returns instead of context.Canceled

	stopping func() // called when its context has ended, if not nil
}

func (l life) live(ctx context.Context, ready func()) error {
	var up, end <-chan time.Time
	if !l.never {
		up = time.After(l.up)
	}
	if l.ends > 0 {
		end = time.After(l.ends)
	}
	for {
		select {
		case <-up:
			ready()
			ready() // the second does nothing
			up = nil
		case <-end:
			if l.panics != nil {
				panic(l.panics)
			}
			return l.err
		case <-ctx.Done():
			if l.stopping != nil {
				l.stopping()
			}
			time.Sleep(l.stop)
			if l.bad != nil {
				return l.bad
			}
			return ctx.Err()
		}
	}
}

// A journal records what happens and when: "+a" when a's Run is called, "-a" when it returns.
type journal struct {
	start time.Time
	mu    sync.Mutex
	lines []string
}

func newJournal() *journal { return &journal{start: time.Now()} }

func (j *journal) add(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf("%v %s", time.Since(j.start), what))
}

func (j *journal) ready() { j.add("ready") }

// child is a child whose instances live the given lives, one after another, and zero lives after that.
func (j *journal) child(name string, lives ...life) supervisor.Child {
	return supervisor.Child{Name: name, Run: func(ctx context.Context, ready func()) error {
		var l life
		if len(lives) > 0 {
			l, lives = lives[0], lives[1:]
		}
		j.add("+" + name)
		defer j.add("-" + name)
		return l.live(ctx, ready)
	}}
}

// want compares the journal with lines separated by ", ".
func (j *journal) want(t *testing.T, want string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if got := strings.Join(j.lines, ", "); got != want {
		t.Errorf("journal\n got %s\nwant %s", got, want)
	}
}

func newSupervisor(t *testing.T, spec supervisor.Spec) *supervisor.Supervisor {
	t.Helper()
	if spec.Jitter == nil {
		spec.Jitter = func() float64 { return 0 } // half of the delay: 50 ms, 100 ms, 200 ms ...
	}
	s, err := supervisor.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// repeat is n lives like l.
func repeat(n int, l life) []life { return slices.Repeat([]life{l}, n) }
