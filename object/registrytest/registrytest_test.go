package registrytest_test

import (
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/highlander-go/highlander/internal/suitetest"
	"github.com/highlander-go/highlander/object/registrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestASoundRegistryPasses(t *testing.T)       { suite().SoundPasses(t) }
func TestEveryFlawIsCaught(t *testing.T)          { suite().EveryFlawIsCaught(t) }
func TestEveryCheckCatchesSomething(t *testing.T) { suite().EveryCheckCatchesSomething(t) }

func suite() suitetest.Suite[flaw] {
	s := suitetest.Suite[flaw]{Flaws: flaws, Describe: func(f flaw) (string, []string) { return f.name, f.caughtBy }, Run: run}
	for _, check := range registrytest.Checks() {
		s.Checks = append(s.Checks, check.Name)
	}
	return s
}

// run runs a check on a registry with the flaw.
func run(r *suitetest.Recorder, name string, f flaw) bool {
	checks := registrytest.Checks()
	i := slices.IndexFunc(checks, func(c registrytest.Check) bool { return c.Name == name })
	if i < 0 {
		return false
	}
	w := newWorld(f)
	defer w.close()
	checks[i].Run(r, w)
	return true
}
