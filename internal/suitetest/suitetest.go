// Package suitetest is for the tests of contract suites: a suite must let pass what is sound, and complain of what was broken on purpose.
package suitetest

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// A Suite is a contract suite under test, and what it is to find. The zero F is no flaw.
type Suite[F any] struct {
	Checks   []string // their names
	Flaws    []F
	Describe func(F) (name string, caughtBy []string)        // the checks that must complain
	Run      func(r *Recorder, check string, f F) (ran bool) // runs the check on something with the flaw, in a bubble of testing/synctest; false: there is no such check
}

// SoundPasses tests that no check complains of what has no flaw.
func (s Suite[F]) SoundPasses(t *testing.T) {
	for _, check := range s.Checks {
		t.Run(check, func(t *testing.T) {
			for _, complaint := range s.complaints(t, check, *new(F)) {
				t.Error(complaint)
			}
		})
	}
}

// EveryFlawIsCaught tests that each flaw is complained of by all checks that are to catch it.
func (s Suite[F]) EveryFlawIsCaught(t *testing.T) {
	for _, f := range s.Flaws {
		name, caughtBy := s.Describe(f)
		t.Run(name, func(t *testing.T) {
			for _, check := range caughtBy {
				found := s.complaints(t, check, f)
				if len(found) == 0 {
					t.Errorf("%s does not catch it", check)
					continue
				}
				t.Logf("%s: %s", check, found[0])
			}
		})
	}
}

// EveryCheckCatchesSomething tests that no check is there for nothing.
func (s Suite[F]) EveryCheckCatchesSomething(t *testing.T) {
	for _, check := range s.Checks {
		if !slices.ContainsFunc(s.Flaws, func(f F) bool {
			_, caughtBy := s.Describe(f)
			return slices.Contains(caughtBy, check)
		}) {
			t.Errorf("no flaw is known that %s catches", check)
		}
	}
}

// complaints runs the check in virtual time and returns what it complains of.
func (s Suite[F]) complaints(t *testing.T, check string, f F) []string {
	t.Helper()
	var r Recorder
	synctest.Test(t, func(t *testing.T) {
		ran := true
		var run sync.WaitGroup
		run.Go(func() { ran = s.Run(&r, check, f) })
		run.Wait()
		if !ran {
			t.Fatalf("there is no check %s", check)
		}
	})
	return r.complaints
}

// A Recorder keeps what a check complains of. It is what checks report to, in place of a *testing.T.
type Recorder struct {
	mu         sync.Mutex
	complaints []string
}

// Errorf notes a complaint.
func (r *Recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.complaints = append(r.complaints, fmt.Sprintf(format, args...))
}

// Fatalf notes a complaint and ends the goroutine.
func (r *Recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// Skipf is Fatalf: nothing may be skipped here.
func (r *Recorder) Skipf(format string, args ...any) { r.Fatalf("skipped: "+format, args...) }
func (r *Recorder) Logf(string, ...any)              {}
func (r *Recorder) Helper()                          {}
