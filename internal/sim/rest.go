package sim

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/highlander-go/highlander/object"
)

// What happens when the clients have gone and no new trouble begins.

// heal waits until the troubles that have begun are over.
func (w *world) heal() {
	for {
		w.mu.Lock()
		left, away := w.healed-w.now(), w.cluster.away > 0
		w.mu.Unlock()
		switch {
		case left > 0:
			w.pause("healing", left)
		case away:
			w.pause("a node is on its way out", lease)
		default:
			return
		}
	}
}

// recovery is how long after the last trouble each object must have answered a read and an update: when its owner's session has expired, at the end of a tick,
// and the longest lease in the cluster has been waited for, on a clock that goes too slowly; when two calls have got no answer, and a node has paused before
// it joins again.
const recovery = sessionTimeout + 2*tick + takeoverWait + 2*silence + time.Second

// takeoverWait is that for the longest lease, by the slowest clock.
const takeoverWait = (2*lease*105/100 + 100*time.Millisecond) * 100 / 98

// recover has a look at each object.
func (w *world) recover() {
	answered := make(chan struct{})
	for k := range w.cluster.keys {
		go func() {
			w.recovers(fmt.Sprintf("k%d", k))
			answered <- struct{}{}
		}()
	}
	for range w.cluster.keys {
		<-answered
	}
}

// recovers calls the object until it answers.
func (w *world) recovers(key string) {
	who := "last look at " + key
	w.actors.become(who)
	r := newRNG(w.seed, who, 0)
	began := w.now()
	for _, kind := range []Kind{Get, Add} {
		for n := 0; ; n++ {
			w.pause(who, lease/8)
			left := began + recovery - w.now()
			if left <= 0 {
				w.violated("%s does not answer a %v although all troubles have been over for %v", key, kind, recovery)
				return
			}
			p := w.cluster.anyone(&r)
			if p == nil {
				continue
			}
			op := &Op{Key: key, Node: p.name, Kind: kind}
			if kind == Add {
				op.Arg = fmt.Sprintf("%s.last.%d", key, n)
			}
			w.make(p, op, who, 0, left)
			if op.Outcome == OK {
				break
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recovery = max(w.recovery, w.now()-began)
}

// tidied is how long after that nothing may be there any more that belongs to a node which is gone, or to nobody.
const tidied = 20 * time.Second

// tidyUp waits until nothing is left over.
func (w *world) tidyUp() {
	var left []string
	for until := w.now() + tidied; w.now() < until; {
		if left = append(w.leftOver(), w.goroutines()...); len(left) == 0 {
			return
		}
		w.pause("tidying up", lease)
	}
	w.violated("left over although all troubles have been over for %v: %s", tidied, strings.Join(left, "\n"))
}

// leftOver lists what is in ZooKeeper and at the store that no node has a use for.
func (w *world) leftOver() (left []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.cluster
	joined := make(map[string]*membership)
	for _, p := range c.all {
		if !p.dead && p.session != nil && !p.session.over {
			joined[p.session.pair] = p.session
		}
	}
	for _, n := range c.ensemble.model.Nodes() {
		within, _ := strings.CutPrefix(n.Path, root+"/")
		path := strings.Split(within, "/")
		switch {
		case len(path) == 2 && (path[0] == "members" || path[0] == "live") && joined[path[1]] == nil:
			left = append(left, fmt.Sprintf("%s of a node that is gone", n.Path))
		case len(path) == 5 && (joined[n.Data] == nil || joined[n.Data].held[path[3]] != 1):
			left = append(left, fmt.Sprintf("claim %s of %s, which does not hold it", n.Path, n.Data))
		case len(path) == 4 && len(joined) == 0 && n.Used:
			left = append(left, fmt.Sprintf("container %s", n.Path))
		}
	}
	sessions := make(map[*process]int)
	for id, watched := range c.ensemble.model.Watches() {
		p := c.ensemble.sessions[id]
		if sessions[p]++; p == nil || p.dead || p.life.Err() != nil || sessions[p] > 2 {
			left = append(left, fmt.Sprintf("session %d", id))
		}
		for _, path := range watched {
			if path != root+"/members" && path != root+"/live" {
				left = append(left, fmt.Sprintf("watch on %s", path))
			}
		}
	}
	if c.store.open > 0 {
		left = append(left, fmt.Sprintf("%d requests to the store", c.store.open))
	}
	slices.Sort(left)
	return left
}

// What goroutines there are when nobody calls: those of the world, and of each node. Workers that wait for the next task do not count.
const (
	goroutinesOfTheWorld = 10
	goroutinesOfANode    = 5
)

// goroutines says so when there are too many.
func (w *world) goroutines() []string {
	all := stacks()
	n := strings.Count(all, "\n\n") + 1 - strings.Count(all, "(*serving).worker(")
	nodes := 0
	for _, p := range w.cluster.all {
		if p.life.Err() == nil {
			nodes++
		}
	}
	if n <= goroutinesOfTheWorld+goroutinesOfANode*nodes {
		return nil
	}
	return []string{fmt.Sprintf("%d goroutines of %d nodes:\n%s", n, nodes, all)}
}

func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

// leave has all nodes leave as they should. Then nothing is left of them.
func (w *world) leave(r *rng) {
	gone := make(chan struct{})
	var leaving []*process
	for _, p := range w.cluster.all {
		if !p.isDead() && p.life.Err() == nil {
			leaving = append(leaving, p)
		}
	}
	for _, p := range leaving {
		drains := r.chance(0.5) && p.node != nil
		go func() {
			defer func() { gone <- struct{}{} }()
			if drains {
				if err := p.drain(); err != nil {
					w.violated("%s does not drain, although there is no trouble: %v", p.name, err)
				}
			}
			w.pause(p.name+" leaves", lease)
			p.end()
			<-p.gone
		}()
	}
	for range leaving {
		<-gone
	}
	w.pause("containers are collected", 2*collect+tick)
	if left := w.leftOver(); len(left) > 0 {
		w.violated("left over although all nodes have left: %s", strings.Join(left, "\n"))
	}
}

var _ object.StoreReporter = watchedSession{}
