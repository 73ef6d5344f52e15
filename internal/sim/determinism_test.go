package sim_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/highlander-go/highlander/internal/sim"
)

// replayed is how many seeds are run twice.
const replayed = 12

// The same seed is the same run, event by event.
func TestTheSameSeedIsTheSameRun(t *testing.T) {
	if raced {
		t.Skip("not under the race detector, which shuffles goroutines")
	}
	for s := *seed; s < *seed+uint64(max(*seeds, replayed)); s++ {
		a, b := sim.Run(t, s, true), sim.Run(t, s, true)
		if where := firstDifference(a.Trace, b.Trace); where != "" {
			t.Errorf("seed %d is two different runs:\n%s", s, where)
		}
	}
}

// firstDifference shows where two traces part, "" if they are the same.
func firstDifference(a, b string) string {
	was, is := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range was {
		if i >= len(is) || was[i] != is[i] {
			return strings.Join(was[max(0, i-5):min(len(was), i+2)], "\n") + "\n---- the second time:\n" + strings.Join(is[max(0, i-1):min(len(is), i+2)], "\n")
		}
	}
	return ""
}

// It is so in another process, too, whatever the number of processors.
func TestTheSameSeedIsTheSameRunInAnotherProcess(t *testing.T) {
	if raced {
		t.Skip("not under the race detector, which shuffles goroutines")
	}
	const inOther = "HIGHLANDER_SIM_PRINT_DIGESTS"
	digests := ""
	for s := *seed; s < *seed+replayed; s++ {
		digests += fmt.Sprintf("seed %d: %x\n", s, sim.Run(t, s, false).Digest)
	}
	if os.Getenv(inOther) != "" {
		fmt.Print(digests)
		return
	}
	for _, processors := range []string{"1", "4"} {
		other := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-seed", fmt.Sprint(*seed))
		other.Env = append(os.Environ(), inOther+"=1", "GOMAXPROCS="+processors)
		out, err := other.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if where := firstDifference(digests, string(out)); !strings.HasPrefix(string(out), digests) {
			t.Errorf("GOMAXPROCS=%s:\n%s", processors, where)
		}
	}
}
