package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander/supervisor"
)

// delays returns the pauses between a child's instances, of which each is up for the given time, in a run of an hour.
func delays(t *testing.T, spec supervisor.Spec, up ...time.Duration) []time.Duration {
	t.Helper()
	var pauses []time.Duration
	var endedAt time.Time
	spec.MaxRestarts = 1000
	spec.Children = []supervisor.Child{{Name: "a", Run: func(ctx context.Context, ready func()) error {
		if !endedAt.IsZero() {
			pauses = append(pauses, time.Since(endedAt))
		}
		if len(up) == 0 {
			<-ctx.Done()
			return nil
		}
		ready()
		time.Sleep(up[0])
		up = up[1:]
		endedAt = time.Now()
		return errBroken
	}}}
	s := newSupervisor(t, spec)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := s.Run(ctx, nil); err != nil {
		t.Error(err)
	}
	return pauses
}

func TestBackoff(t *testing.T) {
	short := make([]time.Duration, 9)
	least := func() float64 { return 0 }
	most := func() float64 { return 0.9999999999 }
	tests := []struct {
		name string
		spec supervisor.Spec
		up   []time.Duration
		want string
	}{
		{"least of the defaults", supervisor.Spec{Jitter: least}, short,
			"[50ms 100ms 200ms 400ms 800ms 1.6s 2.5s 2.5s 2.5s]"},
		{"most of the defaults", supervisor.Spec{Jitter: most}, short,
			"[100ms 200ms 400ms 800ms 1.6s 3.2s 5s 5s 5s]"},
		{"given", supervisor.Spec{Jitter: least, Backoff: time.Second, MaxBackoff: 3 * time.Second}, short[:4],
			"[500ms 1s 1.5s 1.5s]"},
		{"up for a while", supervisor.Spec{}, []time.Duration{0, 0, 0, 10*time.Second - 1, 10 * time.Second, 0},
			"[50ms 100ms 200ms 400ms 50ms 100ms]"},
		{"up for a given while", supervisor.Spec{StableAfter: time.Minute}, []time.Duration{0, 0, time.Minute - 1, time.Minute, 0},
			"[50ms 100ms 200ms 50ms 100ms]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := delays(t, test.spec, test.up...)
				for i := range got {
					got[i] = got[i].Round(time.Microsecond) // the most is just under the bound
				}
				if fmt.Sprint(got) != test.want {
					t.Errorf("delays %v, want %v", got, test.want)
				}
			})
		})
	}
}

// A child that was never up has not been up for a while, however long its start took.
func TestBackoffOfFailedStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		s := newSupervisor(t, supervisor.Spec{Children: []supervisor.Child{
			j.child("a", repeat(3, life{never: true, ends: 20 * time.Second})...),
		}})
		ctx, cancel := context.WithCancel(t.Context())
		if err := s.Run(ctx, cancel); err != nil {
			t.Error(err)
		}
		j.want(t, "0s +a, 20s -a, 20.05s +a, 40.05s -a, 40.15s +a, 1m0.15s -a, 1m0.35s +a, 1m0.35s -a")
	})
}

// b has ended for the third time and waits 200 ms when a ends, which waits 50 ms. b is not started before its time.
func TestLongerBackoffOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		s := newSupervisor(t, supervisor.Spec{Strategy: supervisor.RestForOne, Children: []supervisor.Child{
			j.child("a", life{ends: 200 * ms}), j.child("b", repeat(3, life{ends: 10 * ms})...),
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Run(ctx, nil); err != nil {
			t.Error(err)
		}
		j.want(t, "0s +a, 0s +b, 10ms -b, 60ms +b, 70ms -b, 170ms +b, 180ms -b, 200ms -a, 250ms +a, 380ms +b, 1s -b, 1s -a")
	})
}

// a, up for a second when it ends again, is looked after only when c has stopped 19.5 s later: it was up no longer for that.
func TestBackoffCountsTheTimeUpToTheEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		c := j.child("c", life{}, life{stop: 20 * time.Second})
		c.StopTimeout = supervisor.NoStopTimeout
		s := newSupervisor(t, supervisor.Spec{Strategy: supervisor.RestForOne, Children: []supervisor.Child{
			j.child("a", life{ends: time.Second}, life{ends: time.Second}), j.child("b", life{}, life{ends: 500 * ms}), c,
		}})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := s.Run(ctx, nil); err != nil {
			t.Error(err)
		}
		j.want(t, "0s +a, 0s +b, 0s +c, 1s -a, 1s -c, 1s -b, 1.05s +a, 1.05s +b, 1.05s +c, "+
			"1.55s -b, 2.05s -a, 21.55s -c, 21.65s +a, 21.65s +b, 21.65s +c, 30s -c, 30s -b, 30s -a")
	})
}

// With the real source of randomness every delay lies in [d/2, d), and they differ.
func TestJitter(t *testing.T) {
	seen := make(map[time.Duration]bool)
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			var endedAt time.Time
			ctx, cancel := context.WithCancel(t.Context())
			s, err := supervisor.New(supervisor.Spec{Children: []supervisor.Child{{Name: "a", Run: func(context.Context, func()) error {
				if !endedAt.IsZero() {
					d := time.Since(endedAt)
					if d < 50*ms || d >= 100*ms {
						t.Errorf("delay %v, want 50 ms or more and less than 100 ms", d)
					}
					seen[d] = true
					cancel()
				}
				endedAt = time.Now()
				return nil
			}}}})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Run(ctx, nil); err != nil {
				t.Error(err)
			}
		})
	}
	if len(seen) < 90 {
		t.Errorf("%d different delays in 100 restarts", len(seen))
	}
}

func TestIntensity(t *testing.T) {
	times := func(n int, every time.Duration) []life { return repeat(n, life{ends: every, err: errBroken}) }
	tests := []struct {
		name  string
		spec  supervisor.Spec
		lives []life
		fails bool
	}{
		{"as many as the default allows", supervisor.Spec{}, times(5, 1), false},
		{"one more", supervisor.Spec{}, times(6, 1), true},
		{"as many as are allowed", supervisor.Spec{MaxRestarts: 2}, times(2, 1), false},
		{"one more than are allowed", supervisor.Spec{MaxRestarts: 2}, times(3, 1), true},
		{"the first when none is allowed", supervisor.Spec{MaxRestarts: supervisor.NoRestarts}, times(1, 1), true},
		// Ten seconds and half of the delay lie between endings: three within 30 s, four within 31 s.
		{"seldom enough", supervisor.Spec{MaxRestarts: 3, Window: 30 * time.Second}, times(100, 10*time.Second), false},
		{"not seldom enough", supervisor.Spec{MaxRestarts: 3, Window: 31 * time.Second}, times(4, 10*time.Second), true},
		{"failed starts", supervisor.Spec{}, repeat(6, life{never: true, ends: 1, err: errBroken}), true},
		{"endings that do not count", supervisor.Spec{Counts: func(err error) bool { return !errors.Is(err, errBroken) }},
			times(100, 1), false},
		{"endings that count among those that do not",
			supervisor.Spec{MaxRestarts: 1, Counts: func(err error) bool { return errors.Is(err, errBroken) }},
			[]life{{ends: 1}, {ends: 1, err: errBroken}, {ends: 1}, {ends: 1}, {ends: 1, err: errBroken}}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJournal()
				test.spec.Children = []supervisor.Child{j.child("a", test.lives...), j.child("b")}
				s := newSupervisor(t, test.spec)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				err := s.Run(ctx, nil)
				if fails := errors.Is(err, supervisor.ErrTooManyRestarts); fails != test.fails || !fails && err != nil {
					t.Errorf("error %v; want too many restarts: %v", err, test.fails)
				}
				starts := 0
				for _, line := range j.lines {
					if strings.HasSuffix(line, " +a") {
						starts++
					}
				}
				want := len(test.lives) + 1
				if test.fails {
					want--
				}
				if starts != want {
					t.Errorf("a was started %d times, want %d", starts, want)
				}
			})
		})
	}
}

// The second ending is one too many if the first lies no more than Window back.
func TestWindowIsExact(t *testing.T) {
	for beyond, fails := range map[time.Duration]bool{0: true, 1: false} {
		synctest.Test(t, func(t *testing.T) {
			j := newJournal()
			s := newSupervisor(t, supervisor.Spec{MaxRestarts: 1, Window: time.Second, Children: []supervisor.Child{
				j.child("a", life{ends: time.Second}), j.child("b", life{ends: 2*time.Second + beyond}),
			}})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := s.Run(ctx, nil); errors.Is(err, supervisor.ErrTooManyRestarts) != fails {
				t.Errorf("%v beyond the window: error %v", beyond, err)
			}
		})
	}
}

// Endings of all children together are counted, and the error names the last.
func TestGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		s := newSupervisor(t, supervisor.Spec{MaxRestarts: 2, Window: time.Minute, Children: []supervisor.Child{
			j.child("a", life{ends: time.Second}),
			j.child("b", life{ends: 2 * time.Second}),
			j.child("c", life{ends: 3 * time.Second, err: errBroken}),
			j.child("d", life{stop: time.Second}),
		}})
		err := s.Run(t.Context(), j.ready)
		if !errors.Is(err, supervisor.ErrTooManyRestarts) || !errors.Is(err, errBroken) {
			t.Errorf("error %v; want too many restarts and the last child's error", err)
		}
		want := "too many restarts: children ended 3 times within 1m0s and 2 are allowed (repair the cause, or raise MaxRestarts); " +
			`the last was child "c": broken`
		if err == nil || err.Error() != want {
			t.Errorf("error\n got %v\nwant %s", err, want)
		}
		j.want(t, "0s +a, 0s +b, 0s +c, 0s +d, 0s ready, 1s -a, 1.05s +a, 2s -b, 2.05s +b, 3s -c, 4s -d, 4s -b, 4s -a")
	})
}

// What a child did wrong reaches Counts, and Run's error, as an error.
func TestWaysToEnd(t *testing.T) {
	tests := []struct {
		name  string
		run   func() error
		check func(error) bool
	}{
		{"error", func() error { return errBroken }, func(err error) bool { return errors.Is(err, errBroken) }},
		{"nil", func() error { return nil }, func(err error) bool { return errors.Is(err, supervisor.ErrReturned) }},
		{"the error of a context that has not ended", func() error { return context.Canceled },
			func(err error) bool { return errors.Is(err, context.Canceled) }},
		{"goexit", func() error { runtime.Goexit(); return nil }, func(err error) bool { return errors.Is(err, supervisor.ErrGoexit) }},
		{"panic", func() error { panicInChild(); return nil }, func(err error) bool {
			p, ok := errors.AsType[*supervisor.PanicError](err)
			return ok && p.Value == "oh" && strings.Contains(string(p.Stack), "panicInChild") &&
				strings.Contains(err.Error(), "panic: oh") && strings.Contains(err.Error(), "panicInChild")
		}},
		{"panic with nil", func() error { panic(nil) }, func(err error) bool {
			_, ok := errors.AsType[*supervisor.PanicError](err)
			return ok
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJournal()
				counted := 0
				s := newSupervisor(t, supervisor.Spec{
					MaxRestarts: supervisor.NoRestarts,
					Children: []supervisor.Child{j.child("a"), {Name: "b", Run: func(_ context.Context, ready func()) error {
						ready()
						return test.run()
					}}},
					Counts: func(err error) bool {
						if !test.check(err) {
							t.Errorf("Counts was asked about %v", err)
						}
						counted++
						return counted > 1
					},
				})
				if err := s.Run(t.Context(), nil); !errors.Is(err, supervisor.ErrTooManyRestarts) || !test.check(err) {
					t.Errorf("error %v", err)
				}
				j.want(t, "0s +a, 50ms -a") // the first was restarted
			})
		})
	}
}

//go:noinline
func panicInChild() { panic("oh") }

func TestContextEndsDuringBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		s := newSupervisor(t, supervisor.Spec{
			Strategy: supervisor.RestForOne, Backoff: time.Hour, MaxBackoff: time.Hour,
			Children: []supervisor.Child{j.child("a"), j.child("b", life{ends: time.Second}), j.child("c")},
		})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := s.Run(ctx, nil); err != nil {
			t.Error(err)
		}
		j.add("returned")
		j.want(t, "0s +a, 0s +b, 0s +c, 1s -b, 1s -c, 2s -a, 2s returned")
	})
}

func TestContextEndsDuringStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		s := newSupervisor(t, supervisor.Spec{Children: []supervisor.Child{
			j.child("a"), j.child("b", life{up: time.Minute, stop: time.Second}), j.child("c"),
		}})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := s.Run(ctx, j.ready); err != nil {
			t.Error(err)
		}
		j.want(t, "0s +a, 0s +b, 3s -b, 3s -a")
	})
}

func TestContextEndsDuringTheStopOfARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		s := newSupervisor(t, supervisor.Spec{Strategy: supervisor.OneForAll, Backoff: 1, Children: []supervisor.Child{
			j.child("a"), j.child("b", life{ends: time.Second}), j.child("c", life{stop: 2 * time.Second}),
		}})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := s.Run(ctx, nil); err != nil {
			t.Error(err)
		}
		j.want(t, "0s +a, 0s +b, 0s +c, 1s -b, 3s -c, 3s -a")
	})
}

func TestContextThatHasEndedStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := newSupervisor(t, supervisor.Spec{Children: []supervisor.Child{j.child("a")}}).Run(ctx, j.ready); err != nil {
			t.Error(err)
		}
		j.want(t, "")
	})
}
