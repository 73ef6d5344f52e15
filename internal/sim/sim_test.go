package sim_test

import (
	"flag"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/highlander-go/highlander/internal/sim"
)

var (
	seed    = flag.Uint64("seed", 1, "the first seed")
	seeds   = flag.Int("seeds", 0, "how many seeds to run; 0: 100, and more while there is time")
	profile = flag.String("profile", "", "run only seeds of this profile")
	trace   = flag.Bool("trace", false, "print all that happens")
)

const (
	atLeast = 100
	atMost  = 1000
	while   = 8 * time.Second
)

// foundMark is how a report of a violation begins.
const foundMark = "VIOLATION in seed"

// Whatever happens, in whatever order: what nodes answer is linearizable, and the store's records tell the same story.
func TestSeeds(t *testing.T) {
	sum := make(map[string]int)
	began := time.Now()
	for s, n := *seed, 0; more(n, time.Since(began)); s++ {
		if *profile != "" && *profile != sim.ProfileOf(s) {
			continue
		}
		n++
		r := sim.Run(t, s, *trace)
		wrong, undecided := linearizable(r)
		if *trace {
			t.Logf("%s", r)
		}
		if wrong = append(r.Wrong, wrong...); len(wrong) > 0 {
			t.Fatalf("%s %d, a run of the kind %q, after %d others:\n%s\nReplay it with: go test ./internal/sim -run TestSeeds -seed %d -seeds 1 -trace",
				foundMark, s, r.Profile, n-1, strings.Join(wrong, "\n"), s)
		}
		sum["run"], sum["step"], sum["undecided"] = n, sum["step"]+r.Steps, sum["undecided"]+undecided
		for what, n := range r.Seen {
			sum[what] += n
		}
	}
	for _, what := range slices.Sorted(maps.Keys(sum)) {
		t.Logf("%8d %s", sum[what], what)
	}
	if *profile == "" && sum["run"] >= atLeast {
		checkHardness(t, sum)
	}
}

func more(n int, took time.Duration) bool {
	if *seeds > 0 {
		return n < *seeds
	}
	return n < atLeast && !raced || n < atMost && took < while
}

// checkHardness fails a batch in which too little has happened: it says nothing.
func checkHardness(t *testing.T, sum map[string]int) {
	for what, least := range map[string]int{ // in a hundred runs
		"op ok": 2000, "op refused": 200, "op unknown": 100, "claim": 250, "crash": 50, "pause": 100, "put held up": 50, "put landed late": 10,
		"put refused": 30, "store fault": 50, "answer lost": 5, "request lost": 10, "request to ZooKeeper lost": 5, "answer of ZooKeeper lost": 5,
		"session expired": 20, "cut off": 20, "drained": 20, "trouble in ZooKeeper": 10,
	} {
		if got := sum[what] * 100 / sum["run"]; got < least {
			t.Errorf("in a hundred runs there was %d times: %s; want %d at least, or they prove nothing", got, what, least)
		}
	}
	if sum["undecided"]*50 > sum["run"] {
		t.Errorf("of %d histories it was not found out in time whether they are linearizable", sum["undecided"])
	}
}
