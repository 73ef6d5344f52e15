package zktest_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/highlander-go/highlander/internal/zk/zktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheModelPasses(t *testing.T) {
	for _, check := range zktest.Checks() {
		t.Run(check.Name, func(t *testing.T) {
			for _, complaint := range complaints(t, check, flaw{}) {
				t.Error(complaint)
			}
		})
	}
}

func TestEveryFlawIsCaught(t *testing.T) {
	for _, f := range flaws {
		t.Run(f.name, func(t *testing.T) {
			for _, name := range f.caughtBy {
				found := complaints(t, checkNamed(t, name), f)
				if len(found) == 0 {
					t.Errorf("%s does not catch it", name)
					continue
				}
				t.Logf("%s: %s", name, found[0])
			}
		})
	}
}

func TestEveryCheckCatchesSomething(t *testing.T) {
	for _, check := range zktest.Checks() {
		catches := func(f flaw) bool { return slices.Contains(f.caughtBy, check.Name) }
		if !slices.ContainsFunc(flaws, catches) {
			t.Errorf("no flaw is known that %s catches", check.Name)
		}
	}
}

func checkNamed(t *testing.T, name string) zktest.Check {
	t.Helper()
	checks := zktest.Checks()
	i := slices.IndexFunc(checks, func(c zktest.Check) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("there is no check %s", name)
	}
	return checks[i]
}

// complaints runs the check in virtual time on a model with the flaw, and returns what it complains of.
func complaints(t *testing.T, check zktest.Check, f flaw) (found []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(f)
		defer w.close()
		var r recorder
		var run sync.WaitGroup
		run.Go(func() { check.Run(&r, w) })
		run.Wait()
		found = r.complaints
	})
	return found
}

// A recorder keeps what a check complains of.
type recorder struct {
	mu         sync.Mutex
	complaints []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.complaints = append(r.complaints, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skipf(format string, args ...any) { r.Fatalf("skipped: "+format, args...) }
func (r *recorder) Logf(string, ...any)              {}
func (r *recorder) Helper()                          {}
