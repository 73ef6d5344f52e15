package supervisor_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander/supervisor"
)

func TestNewRefuses(t *testing.T) {
	run := func(context.Context, func()) error { return nil }
	one := []supervisor.Child{{Name: "a", Run: run}}
	tests := []struct {
		spec supervisor.Spec
		want string
	}{
		{supervisor.Spec{Children: []supervisor.Child{{Run: run}}}, "child 0 has no name"},
		{supervisor.Spec{Children: []supervisor.Child{{Name: "a", Run: run}, {Name: "a", Run: run}}}, `child 1 is the second one named "a"`},
		{supervisor.Spec{Children: []supervisor.Child{{Name: "a"}}}, `child 0 ("a") has no Run`},
		{supervisor.Spec{Children: one, Strategy: 3}, "strategy 3 is unknown"},
		{supervisor.Spec{Children: one, Strategy: -1}, "strategy -1 is unknown"},
		{supervisor.Spec{Children: one, Window: -1}, "Window is -1ns"},
		{supervisor.Spec{Children: one, Backoff: -1}, "Backoff is -1ns"},
		{supervisor.Spec{Children: one, MaxBackoff: -1}, "MaxBackoff is -1ns"},
		{supervisor.Spec{Children: one, StableAfter: -1}, "StableAfter is -1ns"},
		{supervisor.Spec{Children: one, Backoff: time.Minute}, "Backoff 1m0s exceeds MaxBackoff 5s"},
	}
	for _, test := range tests {
		s, err := supervisor.New(test.spec)
		if s != nil || err == nil || !strings.HasPrefix(err.Error(), "supervisor: spec: "+test.want) {
			t.Errorf("error %v, want %q", err, test.want)
		}
	}
	_, err := supervisor.New(supervisor.Spec{Children: []supervisor.Child{{}}, Window: -1})
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("error %v, want all three faults", err)
	}
}

// What the caller does with its slice after New is its own affair.
func TestNewCopiesChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		children := []supervisor.Child{j.child("a")}
		s := newSupervisor(t, supervisor.Spec{Children: children})
		if children[0].StopTimeout != 0 {
			t.Error("New filled in the caller's slice")
		}
		children[0] = j.child("b")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Run(ctx, nil); err != nil {
			t.Error(err)
		}
		j.want(t, "0s +a, 1s -a")
	})
}

// withoutTime makes log lines the same in every run.
func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		j := newJournal()
		s := newSupervisor(t, supervisor.Spec{
			Strategy:    supervisor.RestForOne,
			MaxRestarts: 1,
			Children: []supervisor.Child{
				j.child("a", life{ends: time.Second, err: errBroken}, life{ends: time.Second}, life{ends: time.Second, err: errBroken}),
				j.child("b", life{bad: errors.New("flush failed")}),
			},
			Counts: func(err error) bool { return errors.Is(err, errBroken) },
			Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: withoutTime})),
		})
		if err := s.Run(t.Context(), nil); !errors.Is(err, supervisor.ErrTooManyRestarts) {
			t.Error(err)
		}
		want := `level=DEBUG msg="child starts" child=a restarts=0
level=DEBUG msg="child starts" child=b restarts=0
level=WARN msg="child ended, it is restarted" child=a restarts=1 delay=50ms error=broken
level=WARN msg="child did not stop well" child=b restarts=0 error="stop child \"b\": flush failed"
level=DEBUG msg="child starts" child=a restarts=1
level=DEBUG msg="child starts" child=b restarts=0
level=WARN msg="child ended, it is restarted and that does not count" child=a restarts=2 delay=100ms error="` + supervisor.ErrReturned.Error() + `"
level=DEBUG msg="child starts" child=a restarts=2
level=DEBUG msg="child starts" child=b restarts=0
level=ERROR msg="supervisor gives up: too many restarts" child=a restarts=2 error=broken
`
		if out.String() != want {
			t.Errorf("log\n got %s\nwant %s", out.String(), want)
		}
	})
}
