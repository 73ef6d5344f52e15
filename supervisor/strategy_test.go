package supervisor_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander/supervisor"
)

const ms = time.Millisecond

var errBroken = errors.New("broken")

func TestStrategies(t *testing.T) {
	// Each child takes 10 ms to come up and 5 ms to stop; the one named ends at 1 s; all are stopped at 2 s.
	const started = "0s +a, 10ms +b, 20ms +c, 30ms ready, "
	const stopped = ", 2.005s -c, 2.01s -b, 2.015s -a"
	tests := []struct {
		name     string
		strategy supervisor.Strategy
		ends     string
		want     string
	}{
		{"one for one, first", supervisor.OneForOne, "a", "1s -a, 1.05s +a"},
		{"one for one, middle", supervisor.OneForOne, "b", "1s -b, 1.05s +b"},
		{"one for one, last", supervisor.OneForOne, "c", "1s -c, 1.05s +c"},
		{"one for all, first", supervisor.OneForAll, "a", "1s -a, 1.005s -c, 1.01s -b, 1.06s +a, 1.07s +b, 1.08s +c"},
		{"one for all, middle", supervisor.OneForAll, "b", "1s -b, 1.005s -c, 1.01s -a, 1.06s +a, 1.07s +b, 1.08s +c"},
		{"one for all, last", supervisor.OneForAll, "c", "1s -c, 1.005s -b, 1.01s -a, 1.06s +a, 1.07s +b, 1.08s +c"},
		{"rest for one, first", supervisor.RestForOne, "a", "1s -a, 1.005s -c, 1.01s -b, 1.06s +a, 1.07s +b, 1.08s +c"},
		{"rest for one, middle", supervisor.RestForOne, "b", "1s -b, 1.005s -c, 1.055s +b, 1.065s +c"},
		{"rest for one, last", supervisor.RestForOne, "c", "1s -c, 1.05s +c"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJournal()
				usual := life{up: 10 * ms, stop: 5 * ms}
				var children []supervisor.Child
				for i, name := range []string{"a", "b", "c"} {
					first := usual
					if name == test.ends {
						first.ends = time.Second - time.Duration(i)*10*ms
						first.err = errBroken
					}
					children = append(children, j.child(name, first, usual))
				}
				s := newSupervisor(t, supervisor.Spec{Strategy: test.strategy, Children: children})
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				if err := s.Run(ctx, j.ready); err != nil {
					t.Error(err)
				}
				j.want(t, started+test.want+stopped)
			})
		})
	}
}

func TestFailedStartIsAnEnding(t *testing.T) {
	tests := []struct {
		strategy supervisor.Strategy
		want     string
	}{
		{supervisor.OneForOne, "0s +a, 0s +b, 10ms -b, 60ms +b, 60ms +c, 60ms ready"},
		{supervisor.OneForAll, "0s +a, 0s +b, 10ms -b, 10ms -a, 60ms +a, 60ms +b, 60ms +c, 60ms ready"},
		{supervisor.RestForOne, "0s +a, 0s +b, 10ms -b, 60ms +b, 60ms +c, 60ms ready"},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			j := newJournal()
			s := newSupervisor(t, supervisor.Spec{Strategy: test.strategy, Children: []supervisor.Child{
				j.child("a"),
				j.child("b", life{never: true, ends: 10 * ms, err: errBroken}),
				j.child("c"),
			}})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := s.Run(ctx, j.ready); err != nil {
				t.Error(err)
			}
			j.want(t, test.want+", 1s -c, 1s -b, 1s -a")
		})
	}
}

func TestChildThatIsNotReadyHoldsUpThoseAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		s := newSupervisor(t, supervisor.Spec{Children: []supervisor.Child{
			j.child("a"), j.child("b", life{never: true}), j.child("c"),
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := s.Run(ctx, j.ready); err != nil {
			t.Error(err)
		}
		j.want(t, "0s +a, 0s +b, 1h0m0s -b, 1h0m0s -a")
	})
}

// a ends while b, which takes 100 ms, is coming up; c has not been started yet.
func TestEndingDuringTheStartOfAnother(t *testing.T) {
	tests := []struct {
		strategy supervisor.Strategy
		want     string
	}{
		// a is not up until 160 ms, so c waits for it although b is up at 100 ms.
		{supervisor.OneForOne, "0s +a, 0s +b, 90ms -a, 140ms +a, 160ms +c, 160ms ready"},
		{supervisor.OneForAll, "0s +a, 0s +b, 90ms -a, 90ms -b, 140ms +a, 160ms +b, 160ms +c, 160ms ready"},
		{supervisor.RestForOne, "0s +a, 0s +b, 90ms -a, 90ms -b, 140ms +a, 160ms +b, 160ms +c, 160ms ready"},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			j := newJournal()
			s := newSupervisor(t, supervisor.Spec{Strategy: test.strategy, Children: []supervisor.Child{
				j.child("a", life{ends: 90 * ms, err: errBroken}, life{up: 20 * ms}),
				j.child("b", life{up: 100 * ms}),
				j.child("c"),
			}})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := s.Run(ctx, j.ready); err != nil {
				t.Error(err)
			}
			j.want(t, test.want+", 1s -c, 1s -b, 1s -a")
		})
	}
}

// c ends at 1 s, and d takes 100 ms to stop. Meanwhile a and b end too.
func TestEndingsDuringTheStopOfAnother(t *testing.T) {
	tests := []struct {
		strategy supervisor.Strategy
		want     string
	}{
		// Each is restarted alone, 50 ms after its own end.
		{supervisor.OneForOne, "1s -c, 1.03s -a, 1.04s -b, 1.05s +c, 1.08s +a, 1.09s +b, 2.1s -d, 2.1s -c, 2.1s -b, 2.1s -a"},
		// a and b are collected where they would have been stopped.
		{supervisor.OneForAll, "1s -c, 1.03s -a, 1.04s -b, 1.1s -d, 1.15s +a, 1.15s +b, 1.15s +c, 1.15s +d, 2s -d, 2s -c, 2s -b, 2s -a"},
		// a's end is found when d has stopped, and widens the restart to all; b is collected on the way.
		{supervisor.RestForOne, "1s -c, 1.03s -a, 1.04s -b, 1.1s -d, 1.15s +a, 1.15s +b, 1.15s +c, 1.15s +d, 2s -d, 2s -c, 2s -b, 2s -a"},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			j := newJournal()
			s := newSupervisor(t, supervisor.Spec{Strategy: test.strategy, Children: []supervisor.Child{
				j.child("a", life{ends: 1030 * ms}),
				j.child("b", life{ends: 1040 * ms}),
				j.child("c", life{ends: 1000 * ms}),
				j.child("d", life{stop: 100 * ms}),
			}})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if err := s.Run(ctx, nil); err != nil {
				t.Error(err)
			}
			j.want(t, "0s +a, 0s +b, 0s +c, 0s +d, "+test.want)
		})
	}
}

// b ends at 1 s and is due again at 1.05 s; a ends at 1.02 s, before that.
func TestEndingDuringTheBackoffOfAnother(t *testing.T) {
	tests := []struct {
		strategy supervisor.Strategy
		want     string
	}{
		{supervisor.OneForOne, "1s -b, 1.02s -a, 1.05s +b, 1.07s +a"},
		{supervisor.OneForAll, "1s -b, 1s -c, 1s -a, 1.05s +a, 1.05s +b, 1.05s +c"}, // a has been stopped by then
		{supervisor.RestForOne, "1s -b, 1s -c, 1.02s -a, 1.07s +a, 1.07s +b, 1.07s +c"},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			j := newJournal()
			s := newSupervisor(t, supervisor.Spec{Strategy: test.strategy, Children: []supervisor.Child{
				j.child("a", life{ends: 1020 * ms}),
				j.child("b", life{ends: 1000 * ms}),
				j.child("c"),
			}})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if err := s.Run(ctx, nil); err != nil {
				t.Error(err)
			}
			j.want(t, "0s +a, 0s +b, 0s +c, "+test.want+", 2s -c, 2s -b, 2s -a")
		})
	}
}

func TestNestedTrees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		branch := newSupervisor(t, supervisor.Spec{
			Strategy:    supervisor.RestForOne,
			MaxRestarts: 1,
			Children: []supervisor.Child{
				j.child("session", life{up: 10 * ms}),
				j.child("lease", life{ends: time.Second, err: errBroken}, life{ends: time.Second, err: errBroken}),
				j.child("host", life{stop: 3 * time.Second}, life{stop: 4 * time.Second}),
			},
		})
		root := newSupervisor(t, supervisor.Spec{Children: []supervisor.Child{
			j.child("listener"),
			{Name: "branch", StopTimeout: supervisor.NoStopTimeout, Run: func(ctx context.Context, ready func()) error {
				defer j.add("-branch")
				err := branch.Run(ctx, ready)
				if ctx.Err() == nil && !(errors.Is(err, supervisor.ErrTooManyRestarts) && errors.Is(err, errBroken)) {
					t.Errorf("branch: %v", err)
				}
				return err
			}},
			j.child("last"),
		}})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := root.Run(ctx, j.ready); err != nil {
			t.Error(err)
		}
		j.want(t, "0s +listener, 0s +session, 10ms +lease, 10ms +host, 10ms +last, 10ms ready, "+
			// The first end of lease is a restart in the branch, the second one too many: root restarts the branch alone.
			"1.01s -lease, 4.01s -host, 4.06s +lease, 4.06s +host, 5.06s -lease, 9.06s -host, 9.06s -session, 9.06s -branch, "+
			"9.11s +session, 9.11s +lease, 9.11s +host, "+
			"20s -last, 20s -host, 20s -lease, 20s -session, 20s -branch, 20s -listener")
	})
}

func TestSupervisorWithoutChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := newSupervisor(t, supervisor.Spec{}).Run(ctx, j.ready); err != nil {
			t.Error(err)
		}
		j.add("returned")
		j.want(t, "0s ready, 1s returned")
	})
}

// A second Run of one supervisor knows nothing of the first.
func TestRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		s := newSupervisor(t, supervisor.Spec{MaxRestarts: supervisor.NoRestarts, Children: []supervisor.Child{
			j.child("a"), j.child("b", life{ends: time.Second}),
		}})
		if err := s.Run(t.Context(), nil); !errors.Is(err, supervisor.ErrTooManyRestarts) {
			t.Errorf("first run: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Run(ctx, nil); err != nil {
			t.Errorf("second run: %v", err)
		}
		j.want(t, "0s +a, 0s +b, 1s -b, 1s -a, 1s +a, 1s +b, 2s -b, 2s -a")
	})
}
