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
	older   bool   // it runs the older version of the program
	client  bool   // its processes own nothing
	stops   bool   // StopOnDisconnect
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
	late         bool // a drain was not over in time
	incarnations []uuid.UUID
	sessions     int                    // that it has joined with
	session      *membership            // the last one
	claims       map[string]int         // by key: how many it was granted
	under        map[string]*membership // by the activation: through which session it was granted
	unfinished   []string               // updates that were given up when their objects were let go
}

// A membership is a session of a process that has joined.
type membership struct {
	pair         string
	zk           int64          // the ZooKeeper session
	disconnected time.Duration  // when it first lost its connection; 0: never
	over         bool           // nothing is served under it any more
	held         map[string]int // by key: claims that it was granted and has not released
}

// A gate is where a goroutine is parked.
type gate interface{ settle(struct{}, error) }

// start starts a process on the machine. Only the scheduler calls it.
func (m *machine) start() {
	m.started++
	p := &process{w: m.w, machine: m, name: fmt.Sprintf("%s.%d", m.name, m.started), gone: make(chan struct{}),
		waiting: make(map[gate]bool), claims: make(map[string]int), under: make(map[string]*membership)}
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
	config := object.HostConfig{
		Node:      p.name,
		Registry:  watched{registry, p},
		Committer: persist.NewClusterRecords(storeOf{p}, 1, true),
		Transport: networkOf{p},
		Log:       p.log(),
		Env:       p,
	}
	definition := w.cluster.docs
	if p.machine.older {
		definition = w.cluster.older
	}
	if p.machine.client {
		config.Serves = []string{}
	}
	host, err := object.NewHost(config, object.Set{Types: []object.Definition{definition}, Errors: errorsKept})
	if err != nil {
		panic(err) // the definition of the run's own type is wrong
	}
	w.mu.Lock()
	p.node = host
	w.mu.Unlock()
	if p.machine.client {
		<-p.life.Done() // it needs no session
		return
	}
	r, _ := w.draw(p.name + " stays who it is")
	stays := r.chance(0.5)
	for p.life.Err() == nil {
		me := object.Member{Session: 1, Name: p.name, Address: p.machine.name, Types: host.Serves()}
		if p.sessions++; stays && p.sessions > 1 {
			me.Incarnation, me.Session = p.incarnations[0], p.sessions
		} else {
			me.Incarnation = p.incarnate()
		}
		session, err := watched{registry, p}.Join(p.life, me)
		if err == nil {
			host.Serve(p.life, session, nil)
			if p.isDead() {
				return
			}
			w.mu.Lock()
			p.session.over = true
			w.mu.Unlock()
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
		return slog.New(alarms{slog.DiscardHandler, p})
	}
	return slog.New(slog.NewTextHandler(logger{p}, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "dir" || a.Key == "stack" { // which differ from run to run
			return slog.Attr{}
		}
		return a
	}}))
}

// alarms hears of nothing but alarms: there is only one owner, and nobody else at work on the store.
type alarms struct {
	slog.Handler
	p *process
}

func (a alarms) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

func (a alarms) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "ALARM") {
		line := r.Message
		r.Attrs(func(attr slog.Attr) bool { line += fmt.Sprintf(" %v", attr); return true })
		a.p.alarm(line)
	}
	return nil
}

// alarm notes that a node has found somebody else at work.
func (p *process) alarm(line string) {
	if !p.isDead() {
		p.w.violated("%s: %s", p.name, line)
	}
}

type logger struct{ *process }

func (l logger) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "msg=\"ALARM") {
		l.alarm(string(line))
	}
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
		w.healed = max(w.healed, until)
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
	p.session.held[key]++
	p.under[fmt.Sprintf("%s/%d", p.name, p.claims[key])] = p.session
	p.w.seen["claim"]++
}

// docs are the objects as seen through the process.
func (p *process) docs() object.Collection[doc, string] {
	if p.machine.older {
		return p.w.cluster.older.On(p.node)
	}
	return p.w.cluster.docs.On(p.node)
}

// drain lets go of all of the process's objects.
func (p *process) drain() error {
	p.w.actors.become(p.name + " drain")
	ctx, cancel := context.WithTimeout(p.life, drainTime)
	defer cancel()
	err := p.node.Drain(ctx)
	if err == nil {
		err = ctx.Err()
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.late = p.late || err != nil
	return err
}

const drainTime = 2 * sessionTimeout

// heed notes what the process itself has answered to a call: whether it has given up what it had accepted.
func (p *process) heed(key string, err error) {
	if err == nil || !strings.Contains(err.Error(), "the object was released before the update had finished") {
		return
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.seen["update given up by a release"]++
	if !p.dead {
		p.unfinished = append(p.unfinished, fmt.Sprintf("%s at %v: %v", key, p.w.now(), err))
	}
}
