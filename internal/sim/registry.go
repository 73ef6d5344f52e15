package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/internal/zk/zkmodel"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/zkregistry"
)

const (
	lease          = 400 * time.Millisecond
	sessionTimeout = 1200 * time.Millisecond
	tick           = 200 * time.Millisecond
	zkServers      = 3
	root           = "/sim"
	collect        = 2 * time.Second // how often ZooKeeper deletes empty containers
)

// An ensemble is the model of ZooKeeper. Nodes run the real registry over it.
type ensemble struct {
	w        *world
	model    *zkmodel.Model
	hosts    map[zkmodel.Host]*process // guarded by the world's mu, as is the next one
	sessions map[int64]*process
	pairs    map[string]int64 // of the session that has made the pair
}

func newEnsemble(w *world) (*ensemble, error) {
	e := &ensemble{w: w, hosts: make(map[zkmodel.Host]*process), sessions: make(map[int64]*process), pairs: make(map[string]int64)}
	var err error
	e.model, err = zkmodel.New(zkmodel.Config{Servers: zkServers, Tick: tick, SyncLimit: 20, Election: 50 * time.Millisecond, Collect: collect,
		Retry: 20 * time.Millisecond, Gate: e.gate})
	return e, err
}

// gate is where requests of nodes enter the model, and where their answers leave it.
func (e *ensemble) gate(ctx context.Context, at zkmodel.Point) zkmodel.Fate {
	w := e.w
	w.mu.Lock()
	p := e.hosts[at.Client]
	e.sessions[at.Session] = p
	if pair, ok := strings.CutPrefix(at.Path, root+"/members/"); ok && at.Op == "multi" { // what is removed is live first
		e.pairs[pair] = at.Session
	}
	w.mu.Unlock()
	what := at.Op + " " + at.Path
	if at.Answer {
		what += " answered"
	}
	id := fmt.Sprintf("%s/%d %s", p.name, at.Session, what)
	r := p.enter(ctx, id, delay{w.zkTakes, lease})
	if at.Answer && !w.calm() && r.chance(w.zkSlow) {
		p.enter(ctx, id+" late", delay{lease, lease})
	}
	switch {
	case at.Answer || w.calm() || !r.chance(w.zkFaults):
		return zkmodel.Deliver
	case r.chance(0.5):
		w.count("request to ZooKeeper lost")
		return zkmodel.LoseRequest
	default:
		w.count("answer of ZooKeeper lost")
		return zkmodel.LoseAnswer
	}
}

// open connects a process. It tries until the process is to end.
func (e *ensemble) open(p *process) (registry *zkregistry.Registry, err error) {
	e.w.mu.Lock()
	e.hosts[p.host] = p
	e.w.mu.Unlock()
	client, err := e.model.Client(p.host)
	if err != nil {
		return nil, err
	}
	heard := listening{client, p}
	for {
		ctx, cancel := context.WithTimeout(p.life, 2*sessionTimeout)
		registry, err = zkregistry.Open(ctx, heard, zkregistry.Options{Root: root, StopOnDisconnect: p.machine.stops, Lease: p.machine.lease, SessionTimeout: sessionTimeout, Clock: p.clock, Probe: p.probe, StateDir: p.machine.state, Log: p.log()})
		cancel()
		if err == nil || p.pass(p.life, "open again", again) != nil {
			return registry, err
		}
	}
}

// What follows is called by the scheduler alone.

// cut holds all that is under way between the process and the ensemble for d; for ever if d is 0.
func (e *ensemble) cut(p *process, d time.Duration) {
	if p.cutOff++; p.cutOff == 1 {
		for i := range zkServers {
			e.model.CutBoth(zkmodel.Host(p.name), zkmodel.Server(i))
		}
	}
	if d == 0 {
		return
	}
	e.w.heals(d)
	e.w.after(nil, p.name+" reaches ZooKeeper", uint64(e.w.now()), d, func() {
		if p.cutOff--; p.cutOff == 0 {
			for i := range zkServers {
				e.model.HealBoth(zkmodel.Host(p.name), zkmodel.Server(i))
			}
		}
	})
}

// expire ends the sessions of the process's, and tells whether there was one.
func (e *ensemble) expire(p *process) (any bool) {
	w := e.w
	w.mu.Lock()
	var sessions []int64
	for id, owner := range e.sessions {
		if owner == p {
			sessions = append(sessions, id)
		}
	}
	w.mu.Unlock()
	for _, id := range slices.Sorted(slices.Values(sessions)) {
		any = e.model.Expire(id) == nil || any
	}
	if any {
		w.count("session expired")
	}
	return any
}

// listening is the ensemble as a process sees it, and notes when a session loses its connection.
type listening struct {
	zk.Ensemble
	p *process
}

func (l listening) Open(ctx context.Context, timeout time.Duration, events func(zk.Event)) (zk.Session, error) {
	var opened atomic.Int64
	s, err := l.Ensemble.Open(ctx, timeout, func(e zk.Event) {
		events(e)
		if e.Type == zk.Disconnected {
			l.p.disconnected(opened.Load())
		}
	})
	if err == nil {
		opened.Store(s.ID())
	}
	return s, err
}

// disconnected notes that a session has lost its connection, and has been told.
func (p *process) disconnected(session int64) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := p.session; m != nil && m.zk == session && m.disconnected == 0 {
		m.disconnected = w.now()
		if p.machine.stops {
			w.seen["stop on disconnect"]++
		}
	}
}

// newest is the last session of the process's that has made a request; 0 if there is none.
func (e *ensemble) newest(p *process) (session int64) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	for id, owner := range e.sessions {
		if owner == p {
			session = max(session, id)
		}
	}
	return session
}

// trouble makes something happen to the ensemble, for d, and tells whether it has.
func (e *ensemble) trouble(p *process, d time.Duration, r *rng) bool {
	m, w, i := e.model, e.w, r.intn(zkServers)
	kind := r.intn(7)
	if at := m.ServerOf(e.newest(p)); kind >= 5 && at >= 0 {
		i = at
	}
	id := fmt.Sprintf("zk%d", i)
	w.heals(max(d, 2*sessionTimeout))
	switch kind {
	case 5, 6: // the one that the process is connected to: if it does not lead, it goes on to answer reads from its past
		w.tracef("    zk%d hears nothing of the others", i)
		for j := range zkServers {
			m.CutBoth(zkmodel.Server(i), zkmodel.Server(j))
		}
		w.after(nil, id+" hears the others", r.next(), max(d, 2*sessionTimeout), func() {
			for j := range zkServers {
				m.HealBoth(zkmodel.Server(i), zkmodel.Server(j))
			}
		})
	case 0: // it hears of nothing new for a while
		leader := m.Leader()
		if leader < 0 || leader == i {
			return false
		}
		w.tracef("    zk%d lags behind", i)
		m.Delay(zkmodel.Server(leader), zkmodel.Server(i), d/2)
		w.after(nil, id+" catches up", r.next(), d, func() { m.Delay(zkmodel.Server(leader), zkmodel.Server(i), 0) })
	case 1:
		w.tracef("    zk%d is elected", i)
		return m.Elect(i) == nil
	case 2:
		w.tracef("    zk%d is paused", i)
		m.Pause(i)
		w.after(nil, id+" goes on", r.next(), d, func() { m.Resume(i) })
	case 3:
		w.tracef("    zk%d is killed", i)
		m.Kill(i)
		w.after(nil, id+" starts", r.next(), d, func() { m.Start(i) })
	case 4: // one way
		w.tracef("    nothing gets from zk%d to %s", i, p.name)
		m.Cut(zkmodel.Server(i), zkmodel.Host(p.name))
		w.after(nil, id+" is heard", r.next(), d, func() {
			if p.cutOff == 0 {
				m.Heal(zkmodel.Server(i), zkmodel.Host(p.name))
			}
		})
	}
	return true
}

// watched is a registry as a process sees it, and notes whose goroutine is whose, and how often a key was claimed.
type watched struct {
	object.Registry
	p *process
}

func (r watched) Join(ctx context.Context, m object.Member) (object.Session, error) {
	s, err := r.Registry.Join(ctx, m)
	if err != nil {
		return nil, err
	}
	w := r.p.w
	joined := &membership{pair: fmt.Sprintf("%s.%d", m.Incarnation, m.Session), held: make(map[string]int)}
	w.mu.Lock()
	defer w.mu.Unlock()
	joined.zk = w.cluster.ensemble.pairs[joined.pair]
	r.p.session = joined
	return watchedSession{s, r.p, joined}, nil
}

type watchedSession struct {
	object.Session
	p      *process
	joined *membership
}

func (s watchedSession) Claim(ctx context.Context, key object.Key) (object.Claim, error) {
	s.p.w.actors.become(s.p.name + " waker of " + key.ID)
	c, err := s.Session.Claim(ctx, key)
	if err != nil {
		return nil, err
	}
	s.p.granted(key.ID)
	return watchedClaim{c, s, key.ID}, nil
}

// ReportStore implements [object.StoreReporter].
func (s watchedSession) ReportStore(state object.StoreState) {
	s.Session.(object.StoreReporter).ReportStore(state)
}

// StoreReports implements [object.StoreReporter].
func (s watchedSession) StoreReports(ctx context.Context) ([]object.StoreReport, error) {
	return s.Session.(object.StoreReporter).StoreReports(ctx)
}

type watchedClaim struct {
	object.Claim
	session watchedSession
	key     string
}

// Release implements [object.Claim]. On whose behalf it is called says why.
func (c watchedClaim) Release(ctx context.Context) error {
	p := c.session.p
	w := p.w
	why := "by a call that wants another version"
	switch name := w.actors.name(); {
	case strings.HasSuffix(name, " drain"):
		why = "by a drain"
	case strings.HasSuffix(name, " node"):
		why = "when idle"
	case strings.Contains(name, " waker of "):
		why = "before it was awake"
	case strings.Contains(name, " worker of "), strings.Contains(name, " writer of "):
		why = "by an alarm"
	}
	err := c.Claim.Release(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen["released "+why]++
	c.session.joined.held[c.key]--
	return err
}

// probe asks another node whether it lives.
func (p *process) probe(ctx context.Context, to object.Member) error {
	w := p.w
	unreached := func(how object.Suspicion) error {
		return &object.UnreachableError{Member: to, How: how, Err: errTimeout}
	}
	id := p.name + " probes " + to.Incarnation.String()[:8]
	r := p.enter(ctx, id, delay{time.Millisecond, 50 * time.Millisecond})
	if p.isDead() {
		return errDead
	}
	there, back := r.delay(packet), r.delay(packet)
	n := r.next()
	answer := newReply[struct{}](w)
	w.after(nil, id+" arrives", n, there, func() {
		w.mu.Lock()
		q := w.cluster.members[to.Incarnation]
		w.mu.Unlock()
		net := w.cluster.network
		switch {
		case net.isCut(p.machine, q.machine) && !net.refuses(p.machine, q.machine):
		case !q.at(to.Incarnation) || net.refuses(p.machine, q.machine):
			w.after(p, id+" refused", n, back, func() { answer.settle(struct{}{}, unreached(object.Gone)) })
		default:
			w.after(q, id+" answers", n, 0, func() {
				if !net.isCut(q.machine, p.machine) {
					w.after(p, id+" answered", n, back, func() { answer.settle(struct{}{}, nil) })
				}
			})
		}
	})
	_, err := answer.await(ctx)
	if err != nil && ctx.Err() != nil {
		return unreached(object.Silent)
	}
	return err
}
