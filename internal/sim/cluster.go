package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// A cluster is what lives in a world.
type cluster struct {
	w        *world
	ensemble *ensemble
	store    *store
	network  *network
	docs     *object.Type[doc]
	older    *object.Type[doc] // as older machines have it
	machines []*machine
	all      []*process // in the order in which they were started
	keys     int
	quiet    bool // no more faults, no more calls; guarded by the world's mu, as are those below
	members  map[uuid.UUID]*process
	ops      []*Op
	away     int // nodes that are on their way out, and will be back
}

// calm tells whether the troubles are over.
func (w *world) calm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cluster.quiet
}

// pause parks a goroutine that belongs to no process.
func (w *world) pause(id string, d time.Duration) {
	_, n := w.draw(id)
	r := newReply[struct{}](w)
	w.after(nil, id, n, d, func() { r.settle(struct{}{}, nil) })
	r.await(context.Background())
}

// anyone returns a process that lives.
func (c *cluster) anyone(r *rng) *process {
	c.w.mu.Lock()
	var ready []*process
	for _, p := range c.all {
		if !p.dead && p.node != nil {
			ready = append(ready, p)
		}
	}
	c.w.mu.Unlock()
	if len(ready) == 0 {
		return nil
	}
	return ready[r.intn(len(ready))]
}

// crash kills the process; another one starts on its machine after a while.
func (c *cluster) crash(p *process, r *rng) {
	if p.dead {
		return
	}
	c.w.count("crash")
	c.w.tracef("%s is killed", p.name)
	p.crash()
	back := r.upTo(3 * sessionTimeout)
	c.w.heals(back)
	c.w.after(nil, p.machine.name+" start", r.next(), back, func() { c.restart(p) })
}

// restart starts a process in the place of p, which is dead.
func (c *cluster) restart(p *process) {
	if p.machine.process == p {
		p.machine.start()
		c.w.tracef("%s starts", p.machine.process.name)
	}
}

// trouble makes trouble until the run is calm.
func (c *cluster) trouble() {
	w := c.w
	r := newRNG(w.seed, "trouble", 0)
	for {
		w.pause("trouble", r.upTo(2*w.faultEvery))
		if w.calm() {
			return
		}
		n := r.next()
		p := c.anyone(&r)
		if p == nil {
			continue
		}
		other := c.machines[r.intn(len(c.machines))]
		d := r.pauseLength()
		x, sum := r.float(), 0.0
		for _, f := range w.faults {
			if sum += f.weight; x < sum {
				w.after(nil, "FAULT "+f.kind, n, 0, func() { c.fault(f.kind, p, other, d, &r) })
				break
			}
		}
	}
}

// fault makes one fault happen. Only the scheduler calls it.
func (c *cluster) fault(kind string, p *process, other *machine, d time.Duration, r *rng) {
	w := c.w
	if p.dead {
		return
	}
	w.tracef("%s: %s, %s, %v", kind, p.name, other.name, d)
	switch kind {
	case "pause":
		c.pause(p, d, r)
	case "crash":
		c.crash(p, r)
	case "cut off from ZooKeeper":
		w.count(kind)
		c.cutOff(p, d, r)
	case "cut off": // from the store, too; it may reach that first
		w.count(kind)
		c.cutOff(p, d, r)
		p.storeBack = w.now() + d/2 + r.upTo(d/2)
		w.heals(d)
	case "session expired":
		c.ensemble.expire(p)
	case "all sessions expired": // and all come back at once
		w.count(kind)
		for _, p := range c.all {
			if !p.dead {
				c.ensemble.expire(p)
			}
		}
	case "trouble in ZooKeeper":
		if c.ensemble.trouble(p, d, r) {
			w.count(kind)
		}
	case "one way cut":
		if other != p.machine {
			w.count(kind)
			c.network.cut[[2]*machine{p.machine, other}] = cut{w.now() + 2*d, r.chance(0.3)}
			w.heals(2 * d)
		}
	case "store down":
		w.count(kind)
		c.store.down = w.now() + d/2
		w.heals(d / 2)
	case "second process": // by mistake, on a machine that has one
		if p.machine.process == p {
			w.count(kind)
			p.machine.start()
		}
	case "join":
		if len(c.machines) < w.nodes[1]+maxJoins {
			w.count(kind)
			c.addMachine(r).start()
		}
	case "drain":
		if !p.draining {
			w.count(kind)
			p.draining = true
			w.mu.Lock()
			c.away++
			w.mu.Unlock()
			go c.drain(p, r.upTo(lease))
		}
	default:
		panic(fmt.Sprintf("unknown fault %q", kind))
	}
}

// cutOff cuts the process off from ZooKeeper, which sometimes does not wait long to expire its session: a takeover must wait for its lease.
func (c *cluster) cutOff(p *process, d time.Duration, r *rng) {
	c.ensemble.cut(p, d)
	c.mayExpire(p, r)
}

// pause pauses the process; its session may be expired meanwhile, as by cutOff.
func (c *cluster) pause(p *process, d time.Duration, r *rng) {
	p.pause(d)
	c.mayExpire(p, r)
}

func (c *cluster) mayExpire(p *process, r *rng) {
	if r.chance(0.5) {
		c.w.after(nil, p.name+" expires unseen", r.next(), r.upTo(lease/2), func() {
			if c.ensemble.expire(p) {
				c.w.count("session expired unseen")
			}
		})
	}
}

// drain ends the process cleanly, and starts another one.
func (c *cluster) drain(p *process, d time.Duration) {
	defer func() {
		c.w.mu.Lock()
		defer c.w.mu.Unlock()
		c.away--
	}()
	if p.drain() == nil {
		c.w.count("drained")
	}
	if p.isDead() {
		return
	}
	p.end()
	<-p.gone
	c.w.heals(d)
	c.w.after(nil, p.name+" drained", 0, d, func() {
		p.crash() // it has left already
		c.restart(p)
	})
}

// maxJoins is how many machines may join a cluster of the largest size that its profile has.
const maxJoins = 2

// addMachine makes a machine; nothing runs on it as yet.
func (c *cluster) addMachine(r *rng) *machine {
	w := c.w
	m := &machine{w: w, name: string(rune('a' + len(c.machines))), offset: r.upTo(time.Hour), rate: .98 + .04*r.float(),
		lease: [...]time.Duration{lease, lease, 2 * lease}[r.intn(3)], older: r.chance(w.older), stops: r.chance(w.stops)}
	c.machines = append(c.machines, m)
	return m
}
