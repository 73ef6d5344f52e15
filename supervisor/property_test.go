package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/highlander-go/highlander/supervisor"
)

// A witness follows the children of one supervisor and notes every rule that is broken.
type witness struct {
	*journal
	strategy supervisor.Strategy
	children []watched
	broken   []string
}

type watched struct {
	instances int  // that run now
	started   bool // at least once
	up        bool
	endedAt   time.Time
	stoppedAt time.Time // when the last instance's context ended
}

const stopTimeout = 100 * ms // of every child in the property test

func (w *witness) fault(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf("%v: ", time.Since(w.start))+fmt.Sprintf(format, args...))
}

// running reports whether the supervisor has reason to think that the i-th child runs.
func (w *witness) running(i int) bool {
	c := &w.children[i]
	givenUp := !c.stoppedAt.IsZero() && time.Since(c.stoppedAt) >= stopTimeout
	return c.instances > 0 && !givenUp
}

// starts checks the order of starts. A child before that ended at this very moment may not have been noticed.
func (w *witness) starts(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &w.children[i]
	if c.instances++; c.instances > 1 {
		w.fault("%d instances of child %d", c.instances, i)
	}
	alone := w.strategy == supervisor.OneForOne && c.started
	for k := range w.children {
		switch other := &w.children[k]; {
		case k < i && !alone && !(w.running(k) && other.up) && !other.endedAt.Equal(time.Now()):
			w.fault("child %d starts before child %d is up", i, k)
		case k > i && w.strategy != supervisor.OneForOne && w.running(k):
			w.fault("child %d starts while child %d, after it, runs", i, k)
		}
	}
	c.started, c.up, c.stoppedAt = true, false, time.Time{}
}

func (w *witness) comesUp(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.children[i].up = true
}

// stops checks the order of stops: whoever is asked to stop is the last who runs.
func (w *witness) stops(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k := i + 1; k < len(w.children); k++ {
		if w.running(k) {
			w.fault("child %d is stopped while child %d, after it, runs", i, k)
		}
	}
	w.children[i].stoppedAt = time.Now()
}

func (w *witness) ends(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.children[i].instances--
	w.children[i].endedAt = time.Now()
}

func (w *witness) child(i int, lives []life) supervisor.Child {
	return supervisor.Child{Name: fmt.Sprint(i), StopTimeout: stopTimeout, Run: func(ctx context.Context, ready func()) error {
		var l life
		if len(lives) > 0 {
			l, lives = lives[0], lives[1:]
		}
		l.stopping = func() { w.stops(i) }
		w.starts(i)
		defer w.ends(i)
		return l.live(ctx, func() { w.comesUp(i); ready() })
	}}
}

// allUp checks that all children run and are up, or ended at this very moment.
func (w *witness) allUp(when string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, c := range w.children {
		if !(w.running(i) && c.up) && !c.endedAt.Equal(time.Now()) {
			w.fault("child %d is not up %s", i, when)
		}
	}
}

var errExempt = errors.New("does not count")

// drawLife draws an instance that ends by itself or when it is stopped, sometimes too late. Times are such that no event
// falls on the moment of a stop timeout.
func drawLife(t *rapid.T) life {
	l := life{
		up:   rapid.SampledFrom([]time.Duration{0, 1, 10 * ms, 50 * ms}).Draw(t, "up"),
		ends: rapid.SampledFrom([]time.Duration{0, 1, 5 * ms, 10 * ms, 30 * ms, 200 * ms}).Draw(t, "ends"),
		err:  rapid.SampledFrom([]error{nil, errBroken, errExempt, context.Canceled}).Draw(t, "err"),
		stop: rapid.SampledFrom([]time.Duration{0, 0, 0, 1, 5 * ms, 20 * ms, stopTimeout - 1}).Draw(t, "stop"),
		bad:  rapid.SampledFrom([]error{nil, nil, errBroken}).Draw(t, "bad"),
	}
	if rapid.IntRange(0, 9).Draw(t, "panics") == 0 {
		l.panics = "oh"
	}
	if rapid.IntRange(0, 49).Draw(t, "stuck") == 0 {
		l.stop = 3 * stopTimeout
	}
	l.never = l.ends > 0 && rapid.IntRange(0, 4).Draw(t, "never") == 0
	return l
}

// Whatever children do: they start in order and stop in reverse order, no child runs twice at a time, none that may run is
// left down, and when Run returns all have stopped, save those that it says it has given up.
func TestAnyChildren(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		spec := supervisor.Spec{
			Strategy:    rapid.SampledFrom([]supervisor.Strategy{supervisor.OneForOne, supervisor.OneForAll, supervisor.RestForOne}).Draw(rt, "strategy"),
			MaxRestarts: rapid.SampledFrom([]int{3, 1000, 1000}).Draw(rt, "max restarts"),
			Backoff:     10 * ms,
			MaxBackoff:  80 * ms,
			Jitter:      func() float64 { return 0.5 },
			Counts:      func(err error) bool { return !errors.Is(err, errExempt) },
		}
		lives := rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(drawLife), 0, 6), 1, 5).Draw(rt, "lives")
		// Long enough for every child to have lived all its lives, or cut short somewhere.
		runFor := rapid.SampledFrom([]time.Duration{time.Hour, time.Hour, 1, 10 * ms, 33 * ms, 100 * ms, 401 * ms}).Draw(rt, "run for")

		var broken []string
		synctest.Test(t, func(t *testing.T) {
			w := &witness{journal: newJournal(), strategy: spec.Strategy, children: make([]watched, len(lives))}
			for i := range lives {
				spec.Children = append(spec.Children, w.child(i, lives[i]))
			}
			w.runs(t, newSupervisor(t, spec), runFor)
			broken = w.broken
		})
		for _, b := range broken {
			rt.Error(b)
		}
	})
}

func (w *witness) runs(t *testing.T, s *supervisor.Supervisor, runFor time.Duration) {
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan error, 1)
	go func() { returned <- s.Run(ctx, func() { w.allUp("when the supervisor is ready") }) }()

	var err error
	select {
	case err = <-returned:
		if !errors.Is(err, supervisor.ErrTooManyRestarts) && !errors.Is(err, supervisor.ErrNotStopped) {
			w.mu.Lock()
			w.fault("the supervisor ends by itself with %v", err)
			w.mu.Unlock()
		}
		cancel()
	case <-time.After(runFor):
		if runFor == time.Hour {
			w.allUp("after an hour")
		}
		cancel()
		limit := time.Duration(len(w.children)+1) * stopTimeout
		if runFor < time.Hour {
			limit += time.Duration(len(w.children)) * stopTimeout // it may be in the middle of a restart
		}
		select {
		case err = <-returned:
		case <-time.After(limit):
			err = <-returned
			w.mu.Lock()
			w.fault("the supervisor has not stopped within %v", limit)
			w.mu.Unlock()
		}
	}
	w.mu.Lock()
	for i, c := range w.children {
		if w.running(i) || c.instances > 0 && !errors.Is(err, supervisor.ErrNotStopped) {
			w.fault("child %d runs after the supervisor has returned %v", i, err)
		}
	}
	w.mu.Unlock()
	time.Sleep(time.Hour) // for those that were given up
}
