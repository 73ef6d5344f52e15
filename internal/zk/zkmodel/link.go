package zkmodel

import (
	"slices"
	"time"
)

// A route is one direction between two hosts.
type route struct{ from, to Host }

// A link is one direction of a TCP connection: what is sent arrives in order, after the route's delay, or is held while the
// route is cut or the receiver is paused, or is never delivered because the connection was reset.
type link struct {
	m     *Model
	route route
	queue []parcel
	dead  bool
}

type parcel struct {
	at      time.Time
	deliver func()
}

func (m *Model) newLink(from, to Host) *link {
	m.links = slices.DeleteFunc(m.links, func(l *link) bool { return l.dead })
	l := &link{m: m, route: route{from, to}}
	m.links = append(m.links, l)
	return l
}

func (l *link) send(deliver func()) {
	if l.dead {
		return
	}
	at := time.Now().Add(l.m.delay[l.route])
	if n := len(l.queue); n > 0 && l.queue[n-1].at.After(at) {
		at = l.queue[n-1].at
	}
	l.queue = append(l.queue, parcel{at, deliver})
	l.m.after(time.Until(at), l.pump)
}

// pump delivers what is due.
func (l *link) pump() {
	for !l.dead && len(l.queue) > 0 && !l.m.held(l.route) && time.Until(l.queue[0].at) <= 0 {
		first := l.queue[0]
		l.queue = l.queue[1:]
		first.deliver()
	}
}

// reset loses what is under way.
func (l *link) reset() {
	if l != nil {
		l.dead, l.queue = true, nil
	}
}

func (m *Model) held(r route) bool {
	return m.cut[r] || slices.ContainsFunc(m.servers, func(s *server) bool { return s.host == r.to && s.paused })
}

// open says whether messages pass between two hosts in both directions.
func (m *Model) open(a, b Host) bool { return !m.held(route{a, b}) && !m.held(route{b, a}) }

// pump delivers what was held on routes that are open again, each link's from its own step, in order.
func (m *Model) pump() {
	for _, l := range m.links {
		m.after(0, l.pump)
	}
	m.after(0, m.commitStalled)
}

// Cut holds what is sent from one host to another, until [Model.Heal]. Nothing is lost by it alone: the other end gives the connection up when it has
// heard nothing for too long, and what its peer had sent then arrives at a connection that nobody reads.
func (m *Model) Cut(from, to Host) { m.do(func() { m.cut[route{from, to}] = true }) }

// CutBoth cuts both directions.
func (m *Model) CutBoth(a, b Host) {
	m.do(func() { m.cut[route{a, b}], m.cut[route{b, a}] = true, true })
}

// Heal undoes [Model.Cut]: what was held is delivered at once.
func (m *Model) Heal(from, to Host) {
	m.do(func() { delete(m.cut, route{from, to}); m.pump() })
}

// HealBoth heals both directions.
func (m *Model) HealBoth(a, b Host) {
	m.do(func() { delete(m.cut, route{a, b}); delete(m.cut, route{b, a}); m.pump() })
}

// HealAll heals all.
func (m *Model) HealAll() { m.do(func() { clear(m.cut); m.pump() }) }

// Delay makes what is sent from one host to another from now on take the time d. Since a connection is one stream, nothing overtakes what was sent before it.
func (m *Model) Delay(from, to Host, d time.Duration) { m.do(func() { m.delay[route{from, to}] = d }) }
