package supervisor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander/supervisor"
)

// b and d do not stop in time; the others are stopped nevertheless, in order.
func TestStopTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		b := j.child("b", life{stop: time.Hour})
		d := j.child("d", life{stop: time.Hour})
		d.StopTimeout = 200 * ms
		e := j.child("e", life{stop: 30 * time.Minute})
		e.StopTimeout = supervisor.NoStopTimeout
		s := newSupervisor(t, supervisor.Spec{Children: []supervisor.Child{
			j.child("a"), b, j.child("c", life{stop: 5*time.Second - 1}), d, e,
		}})
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Run(ctx, cancel)
		j.add("returned")
		if !errors.Is(err, supervisor.ErrNotStopped) {
			t.Errorf("error %v", err)
		}
		want := `child "d" has not returned 200ms after its context ended: given up while still running; ` +
			"make its Run return when the context ends, or raise StopTimeout\n" +
			`child "b" has not returned 5s after its context ended: given up while still running; ` +
			"make its Run return when the context ends, or raise StopTimeout"
		if err == nil || err.Error() != want {
			t.Errorf("error\n got %v\nwant %s", err, want)
		}
		time.Sleep(2 * time.Hour)
		j.want(t, "0s +a, 0s +b, 0s +c, 0s +d, 0s +e, 30m0s -e, 30m5.199999999s -c, 30m10.199999999s -a, 30m10.199999999s returned, "+
			"1h30m0s -d, 1h30m5.199999999s -b")
	})
}

// A second instance next to one that still runs would be wrong: the supervisor fails, and so do those above it.
func TestRestartWhenAChildDoesNotStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		branch := newSupervisor(t, supervisor.Spec{Strategy: supervisor.OneForAll, Children: []supervisor.Child{
			j.child("a"), j.child("b", life{ends: time.Second}), j.child("c", life{stop: time.Hour}),
		}})
		root := newSupervisor(t, supervisor.Spec{
			Children: []supervisor.Child{
				j.child("listener"), {Name: "branch", Run: branch.Run}, j.child("last"),
			},
			Counts: func(error) bool { return false }, // it is not asked
		})
		err := root.Run(t.Context(), nil)
		if !errors.Is(err, supervisor.ErrNotStopped) {
			t.Errorf("error %v", err)
		}
		want := `child "branch": restart of child "b": child "c" has not returned 5s after its context ended`
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error\n got %v\nwant %s ...", err, want)
		}
		time.Sleep(2 * time.Hour)
		j.want(t, "0s +listener, 0s +a, 0s +b, 0s +c, 0s +last, 1s -b, 6s -a, 6s -last, 6s -listener, 1h0m1s -c")
	})
}

// The branch itself stops in time, but not its child: that is no less a reason not to start it again.
func TestRestartWhenAChildOfAStoppedBranchDoesNotStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		stuck := j.child("stuck", life{stop: time.Hour})
		branch := newSupervisor(t, supervisor.Spec{Children: []supervisor.Child{stuck}})
		root := newSupervisor(t, supervisor.Spec{Strategy: supervisor.RestForOne, Children: []supervisor.Child{
			j.child("a", life{ends: time.Second}),
			{Name: "branch", Run: branch.Run, StopTimeout: supervisor.NoStopTimeout},
		}})
		if err := root.Run(t.Context(), nil); !errors.Is(err, supervisor.ErrNotStopped) {
			t.Errorf("error %v", err)
		}
		time.Sleep(2 * time.Hour)
		j.want(t, "0s +a, 0s +stuck, 1s -a, 1h0m1s -stuck")
	})
}

// What a child returns when it is stopped is in Run's error at the end, and in the log in a restart.
func TestErrorsOfStoppedChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errFlush := errors.New("flush failed")
		j := newJournal()
		s := newSupervisor(t, supervisor.Spec{Strategy: supervisor.RestForOne, Children: []supervisor.Child{
			j.child("a", life{}),
			j.child("b", life{ends: time.Second}, life{bad: errFlush}),
			j.child("c", life{bad: errBroken}, life{}),
		}})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		err := s.Run(ctx, nil)
		if err == nil || err.Error() != `stop child "b": flush failed` || !errors.Is(err, errFlush) {
			t.Errorf("error %v", err)
		}
		j.want(t, "0s +a, 0s +b, 0s +c, 1s -b, 1s -c, 1.05s +b, 1.05s +c, 2s -c, 2s -b, 2s -a")
	})
}

// Who was cancelled and says so stopped well, unless it also says that something below it still runs.
func TestStoppedChildThatReportsOneNotStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSupervisor(t, supervisor.Spec{Children: []supervisor.Child{
			newJournal().child("a", life{bad: errors.Join(context.Canceled, supervisor.ErrNotStopped)}),
		}})
		ctx, cancel := context.WithCancel(t.Context())
		if err := s.Run(ctx, cancel); !errors.Is(err, supervisor.ErrNotStopped) {
			t.Errorf("error %v", err)
		}
	})
}

// What a child leaves behind when it ends by itself learns of it from the context.
func TestContextOfAChildThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var before context.Context
		s := newSupervisor(t, supervisor.Spec{Children: []supervisor.Child{{Name: "a", Run: func(ctx context.Context, ready func()) error {
			if before == nil {
				before = ctx
				return errBroken
			}
			if before.Err() == nil {
				t.Error("it has not ended")
			}
			ready()
			<-ctx.Done()
			return nil
		}}}})
		ctx, cancel := context.WithCancel(t.Context())
		if err := s.Run(ctx, cancel); err != nil {
			t.Error(err)
		}
	})
}

// All contexts would end together if a child's were derived from the supervisor's in the ordinary way.
func TestContextOfAChild(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		run := func(ctx context.Context, ready func()) error {
			if _, ok := ctx.Deadline(); ok {
				t.Error("it has the supervisor's deadline")
			}
			if ctx.Value(key{}) != "value" {
				t.Error("it does not have the supervisor's values")
			}
			ready()
			<-ctx.Done()
			j.add("context ended")
			time.Sleep(time.Second)
			return nil
		}
		s := newSupervisor(t, supervisor.Spec{Children: []supervisor.Child{{Name: "a", Run: run}, {Name: "b", Run: run}}})
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "value"), time.Minute)
		defer cancel()
		if err := s.Run(ctx, nil); err != nil {
			t.Error(err)
		}
		j.add("returned")
		j.want(t, "1m0s context ended, 1m1s context ended, 1m2s returned")
	})
}

// A panic of the supervisor's own callbacks is the caller's, but it leaves no child behind.
func TestPanicOfTheSupervisor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		s := newSupervisor(t, supervisor.Spec{
			Children: []supervisor.Child{j.child("a"), j.child("b", life{ends: time.Second})},
			Counts:   func(error) bool { panic("in Counts") },
		})
		func() {
			defer func() {
				if v := recover(); v != "in Counts" {
					t.Errorf("recovered %v", v)
				}
			}()
			s.Run(t.Context(), nil)
		}()
		j.want(t, "0s +a, 0s +b, 1s -b, 1s -a")
	})
}
