package sim_test

import (
	"flag"
	"fmt"
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
	all := batch{sum: make(sim.Counts)}
	profiles := make(map[string]*batch)
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
		if profiles[r.Profile] == nil {
			profiles[r.Profile] = &batch{sum: make(sim.Counts)}
		}
		all.add(r, undecided)
		profiles[r.Profile].add(r, undecided)
	}
	wanted := make(sim.Counts) // of all together
	for _, name := range slices.Sorted(maps.Keys(profiles)) {
		b, least := profiles[name], sim.Least(name)
		t.Logf("%s: %v", name, b)
		b.check(t, name, least)
		for what, n := range least {
			wanted[what] += n * float64(b.runs) / float64(all.runs)
		}
	}
	t.Logf("together: %v", &all)
	all.check(t, "any", wanted)
}

// Seeds by which something was found are run for ever.
func TestSeedsThatFoundSomething(t *testing.T) {
	for s, what := range map[uint64]string{
		6931:  "a node that left when the registry's own session had expired unseen left its members node behind",
		8777:  "the same",
		40293: "a node that was closed while it joined left its members node behind",
		41350: "an update took effect twice that a node had sent to itself, since it had no session yet, and asked for again",
	} {
		r := sim.Run(t, s, false)
		wrong, _ := linearizable(r)
		for _, violation := range append(r.Wrong, wrong...) {
			t.Errorf("seed %d, by which was found that %s: %s", s, what, violation)
		}
	}
}

func more(n int, took time.Duration) bool {
	if *seeds > 0 {
		return n < *seeds
	}
	return n < atLeast && !raced || n < atMost && took < while
}

// A batch is some runs.
type batch struct {
	runs, steps, undecided, poor int
	recovery                     time.Duration // the longest
	sum                          sim.Counts
}

func (b *batch) add(r *sim.Result, undecided int) {
	b.runs++
	b.steps += r.Steps
	b.undecided += undecided
	b.recovery = max(b.recovery, r.Recovery)
	for what, n := range r.Seen {
		b.sum[what] += float64(n)
	}
	if r.Seen["op ok"] < sim.LeastOps {
		b.poor++
	}
}

func (b *batch) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d runs, %d steps, %d with too few operations, %d histories undecided, longest recovery %v", b.runs, b.steps, b.poor, b.undecided, b.recovery.Round(time.Millisecond))
	for _, what := range slices.Sorted(maps.Keys(b.sum)) {
		fmt.Fprintf(&s, "\n%10.0f %s", b.sum[what], what)
	}
	return s.String()
}

// check fails a batch in which too little has happened: it proves nothing, whatever it has not found. Anything can be missing in a small one.
func (b *batch) check(t *testing.T, profile string, least sim.Counts) {
	if b.runs < smallest {
		return
	}
	for what, least := range least {
		if want := least * float64(b.runs); want > enough && b.sum[what] < want {
			t.Errorf("INVALID: in %d runs of the kind %q there was %.0f times: %s; want %.0f at least", b.runs, profile, b.sum[what], what, want)
		}
	}
	most := max(2, b.runs*few/100)
	if b.poor > most {
		t.Errorf("INVALID: in %d of %d runs of the kind %q less than %d operations have succeeded", b.poor, b.runs, profile, sim.LeastOps)
	}
	if b.undecided > most {
		t.Errorf("INVALID: of %d histories of %d runs of the kind %q it was not found out in time whether they are linearizable", b.undecided, b.runs, profile)
	}
}

const (
	smallest = 50 // batch that must be worth something
	enough   = 10 // what must have happened so often must have happened
	few      = 6  // of a hundred runs
)
