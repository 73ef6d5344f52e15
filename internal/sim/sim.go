package sim

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// A Result is what a run was like.
type Result struct {
	Seed     uint64
	Profile  string
	Ops      []*Op
	Puts     []Put
	Seen     map[string]int // how often what has happened
	Steps    int
	Recovery time.Duration // after the last trouble, until each object had answered
	Digest   uint64        // of all that has happened, in order
	Trace    string        // if asked for
	Wrong    []string      // what does not hold
}

// ProfileOf is the name of the profile that the runs of a seed have.
func ProfileOf(seed uint64) string { return profileOf(seed).name }

func profileOf(seed uint64) *profile { return &profiles[seed%uint64(len(profiles))] }

// Run runs the cluster of a seed. If trace is set the result tells all that has happened, line by line.
func Run(t *testing.T, seed uint64, trace bool) *Result {
	p := profileOf(seed)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	res := &Result{Seed: seed, Profile: p.name}
	synctest.Test(t, func(t *testing.T) {
		goroutines := runtime.NumGoroutine()
		w := newWorld(seed, p, trace)
		over := make(chan struct{})
		if err := w.build(t.TempDir); err != nil {
			t.Error(err)
			return
		}
		go func() {
			defer close(over)
			w.play()
		}()
		w.run(over)
		for _, p := range w.cluster.all {
			p.crash()
		}
		for _, p := range w.cluster.all {
			<-p.gone
		}
		w.cluster.ensemble.model.Close()
		synctest.Wait()
		if n := runtime.NumGoroutine(); n > goroutines {
			w.violated("%d goroutines are left when all nodes have ended:\n%s", n-goroutines, stacks())
		}
		w.audit()
		res.Recovery = w.recovery
		res.Ops, res.Puts, res.Seen, res.Steps, res.Digest, res.Wrong = w.cluster.ops, w.cluster.store.puts, w.seen, w.steps, w.digest, w.wrong
		if trace {
			res.Trace = w.tracer.String()
		}
	})
	return res
}

// build makes the cluster.
func (w *world) build(folder func() string) (err error) {
	r := newRNG(w.seed, "cluster", 0)
	c := &cluster{w: w, members: make(map[uuid.UUID]*process), keys: r.between(w.keys[0], w.keys[1])}
	w.cluster = c
	c.store = &store{w: w, blobs: make(map[string]blob)}
	c.network = &network{w, make(map[[2]*machine]cut)}
	idle := w.idle
	if idle == 0 {
		idle = -1
	}
	c.docs, c.older = types(idle)
	for range r.between(w.nodes[0], w.nodes[1]) {
		c.addMachine(&r)
	}
	if r.chance(w.clientOnly) {
		c.addMachine(&r).client = true
	}
	for _, m := range c.machines {
		if w.stateDirs {
			m.state = folder()
		}
		w.after(nil, m.name+" start", 0, r.upTo(100*time.Millisecond), m.start)
	}
	c.ensemble, err = newEnsemble(w)
	return err
}

// play is the run: clients and troubles for a while; then all troubles come to an end, each object is to answer, and nothing is to be left over,
// neither while the nodes are there nor when they have gone.
func (w *world) play() {
	c := w.cluster
	r := newRNG(w.seed, "play", 0)
	working := make(chan struct{})
	number := r.between(w.clients[0], w.clients[1])
	for i := range number {
		cl := &client{w: w, name: fmt.Sprintf("c%d", i), rng: newRNG(w.seed, "client", uint64(i)), versions: make(map[string]seen)}
		go func() {
			cl.work()
			working <- struct{}{}
		}()
	}
	go func() {
		c.trouble()
		working <- struct{}{}
	}()
	w.pause("play", w.length)
	w.mu.Lock()
	c.quiet = true
	w.mu.Unlock()
	for range number + 1 {
		<-working
	}
	w.heal()
	w.recover()
	w.tidyUp()
	w.leave(&r)
}

func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d (%s), %d steps\n%s", r.Seed, r.Profile, r.Steps, r.Trace)
	for _, s := range r.Wrong {
		fmt.Fprintf(&b, "VIOLATION: %s\n", s)
	}
	return b.String()
}
