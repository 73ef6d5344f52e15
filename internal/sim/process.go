package sim

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/internal/zk/zkmodel"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
)

// A machine has a clock, and at most one process at a time.
type machine struct {
	w       *world
	name    string
	offset  time.Duration
	rate    float64 // of its clock against the world's
	lease   time.Duration
	state   string // its state directory; "": it has none
	process *process
	started int // processes so far
}

// clock is what the machine's clock shows. It runs on whatever becomes of the process.
func (m *machine) clock() time.Duration {
	return m.offset + time.Duration(m.rate*float64(m.w.now()))
}

// A process is a node of the cluster: a host under one session after the other. What is below the line is guarded by the world's mu, and
// written by the scheduler alone.
type process struct {
	w       *world
	machine *machine
	name    string       // of the machine and which process of it: "b.2"
	host    zkmodel.Host // the client of ZooKeeper
	life    context.Context
	end     context.CancelFunc
	gone    chan struct{} // closed when its life goroutine has ended

	node         *object.Host // nil while it starts
	dead         bool
	storeBack    time.Duration // until then its requests to the store are on their way
	frozen       time.Duration // until then it is paused
	waiting      map[gate]bool // its goroutines that are parked
	cutOff       int           // reasons why it does not reach ZooKeeper
	draining     bool
	incarnations []uuid.UUID
	claims       map[string]int // by key: how many it was granted
}

// A gate is where a goroutine is parked.
type gate interface{ settle(struct{}, error) }

// start starts a process on the machine. Only the scheduler calls it.
func (m *machine) start() {
	m.started++
	p := &process{w: m.w, machine: m, name: fmt.Sprintf("%s.%d", m.name, m.started), gone: make(chan struct{}),
		waiting: make(map[gate]bool), claims: make(map[string]int)}
	p.life, p.end = context.WithCancel(context.Background())
	p.host = zkmodel.Host(p.name)
	m.process = p
	m.w.mu.Lock()
	m.w.cluster.all = append(m.w.cluster.all, p)
	m.w.mu.Unlock()
	go p.live()
}

// live is what a node's tree does: it joins, serves until the session is lost, retires it and begins anew.
func (p *process) live() {
	defer close(p.gone)
	w := p.w
	w.actors.become(p.name + " node")
	registry, err := w.cluster.ensemble.open(p)
	if err != nil {
		return
	}
	defer registry.Close()
	host, err := object.NewHost(object.HostConfig{
		Node:      p.name,
		Registry:  watched{registry, p},
		Committer: persist.NewRecords(storeOf{p}),
		Transport: networkOf{p},
		Log:       p.log(),
		Env:       p,
	}, w.cluster.docs)
	if err != nil {
		panic(err) // the definition of the run's own type is wrong
	}
	w.mu.Lock()
	p.node = host
	w.mu.Unlock()
	for p.life.Err() == nil {
		session, err := watched{registry, p}.Join(p.life, object.Member{Incarnation: p.incarnate(), Session: 1, Name: p.name, Address: p.machine.name, Types: host.Serves()})
		if err == nil {
			host.Serve(p.life, session)
			if p.isDead() {
				return
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			session.Retire(ctx)
			cancel()
		}
		p.pass(p.life, "join again", again)
	}
}

// log is the process's log, which goes into the trace. What is said between two events has no order but the alphabet's.
func (p *process) log() *slog.Logger {
	if !p.w.tracing() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(logger{p}, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "dir" { // which differ from run to run
			return slog.Attr{}
		}
		return a
	}}))
}

type logger struct{ *process }

func (l logger) Write(line []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if !l.dead {
		l.w.said = append(l.w.said, l.name+": "+strings.TrimSpace(string(line)))
	}
	return len(line), nil
}

var again = delay{50 * time.Millisecond, time.Second}

// incarnate gives the process its next incarnation.
func (p *process) incarnate() uuid.UUID {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	r, _ := w.drawn(p.name + " incarnation")
	id := uuid.UUID(r.bytes())
	p.incarnations = append(p.incarnations, id)
	w.cluster.members[id] = p
	return id
}

// called is the name of an incarnation for people: "b.2" for the first one of that process, "b.2'" for the next.
func (w *world) called(id [16]byte) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.cluster.members[id]
	if p == nil {
		return fmt.Sprintf("%x", id[:4])
	}
	name := p.name
	for i := range p.incarnations {
		if p.incarnations[i] == id {
			return name
		}
		name += "'"
	}
	return name
}

func (p *process) isDead() bool {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.dead
}

// parked notes that a goroutine is parked at g.
func (p *process) parked(g gate) {
	p.w.mu.Lock()
	if !p.dead {
		p.waiting[g] = true
		p.w.mu.Unlock()
		return
	}
	p.w.mu.Unlock()
	g.settle(struct{}{}, errDead)
}

func (p *process) unparked(g gate) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	delete(p.waiting, g)
}

// crash ends the process: from now on nothing that it does has an effect. Only the scheduler calls it.
func (p *process) crash() {
	w := p.w
	w.mu.Lock()
	if p.dead {
		w.mu.Unlock()
		return
	}
	p.dead = true
	waiting := p.waiting
	p.waiting = nil
	w.mu.Unlock()
	w.cluster.ensemble.cut(p, 0)
	p.end()
	for g := range waiting {
		g.settle(struct{}{}, errDead)
	}
}

// pause stops everything of the process for d. Packets that have left it arrive.
func (p *process) pause(d time.Duration) {
	w := p.w
	until := w.now() + d
	w.mu.Lock()
	longer := !p.dead && until > p.frozen
	if longer {
		p.frozen = until
		w.seen["pause"]++
	}
	w.mu.Unlock()
	if longer {
		w.cluster.ensemble.cut(p, d)
	}
}

// mishap is what may happen to a process at any gate.
func (p *process) mishap(drawn rng) {
	w, r := p.w, &drawn
	switch x := r.float(); {
	case w.calm():
	case x < w.pauseAtGate:
		d := r.pauseLength()
		w.after(nil, p.name+" PAUSE", r.next(), 0, func() {
			w.tracef("    %s is paused for %v", p.name, d)
			w.cluster.pause(p, d, r)
		})
	case x < w.pauseAtGate+w.crashAtGate:
		w.after(nil, p.name+" CRASH", r.next(), 0, func() { w.cluster.crash(p, r) })
	}
}

// pauseLength is a short pause, or one that is longer than a lease, or one that is longer than it takes others to take over.
func (r *rng) pauseLength() time.Duration {
	return r.upTo([...]time.Duration{lease / 4, 2 * lease, sessionTimeout + 3*lease, 2*sessionTimeout + 4*lease}[r.intn(4)])
}

// clock is the machine's clock as the process reads it for an answer: others may do anything before it is read, and after.
func (p *process) clock() time.Duration {
	who := p.w.actors.current()
	if who == nil || p.isDead() || p.w.actors.inRegistry() {
		return p.machine.clock()
	}
	activation := p.activation(who.key)
	p.w.mu.Lock()
	who.sampled, who.by, who.reading = p.w.now(), activation, true
	p.w.mu.Unlock()
	p.pass(context.Background(), "clock", delay{50 * time.Microsecond, 100 * time.Millisecond})
	now := p.machine.clock()
	p.pass(context.Background(), "clock read", delay{50 * time.Microsecond, 100 * time.Millisecond})
	p.w.mu.Lock()
	who.reading = false
	p.w.mu.Unlock()
	return now
}

// at tells whether calls to the incarnation arrive at the process.
func (p *process) at(incarnation uuid.UUID) bool {
	return !p.dead && p.incarnations[len(p.incarnations)-1] == incarnation
}

// activation names the activation of key that the process has now.
func (p *process) activation(key string) string {
	if key == "" {
		return ""
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return fmt.Sprintf("%s/%d", p.name, p.claims[key])
}

// granted counts the claims of a key.
func (p *process) granted(key string) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.claims[key]++
	p.w.seen["claim"]++
}
