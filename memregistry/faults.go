package memregistry

import (
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// Expire declares every session of the incarnation lost: its claims are void, others may claim what it held, and
// their claims wait for its lease. A session is told before Expire returns, unless its incarnation is
// cut off: then it learns it from [Registry.Reconnect], and its lease lapses by itself. An incarnation without
// sessions is ignored.
func (r *Registry) Expire(incarnation uuid.UUID) {
	r.expire(incarnation, func(*session) bool { return true })
}

// ExpireSession is [Registry.Expire] for one session of the member's incarnation.
func (r *Registry) ExpireSession(m object.Member) {
	r.expire(m.Incarnation, func(s *session) bool { return s.member.Session == m.Session })
}

func (r *Registry) expire(incarnation uuid.UUID, lost func(*session) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timeOut()
	for _, s := range r.of(incarnation) {
		if !lost(s) {
			continue
		}
		if s.state == live {
			r.lose(s, r.clock())
		}
		if r.cut[incarnation] == nil {
			r.tell(s)
		}
	}
}

// Disconnect cuts the incarnation off: its renewals do not get through, and its calls of Join, Claim, Release
// and Retire wait until [Registry.Reconnect]. A session timeout after the last renewal its sessions are lost.
// Owner is not affected, since it says nothing of who asks.
func (r *Registry) Disconnect(incarnation uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.cut[incarnation] != nil {
		return
	}
	r.cut[incarnation] = make(chan struct{})
}

// Kill cuts the incarnation off for good, as if its process had been killed: the registry learns nothing of it, and its sessions are lost a session timeout after
// the last renewal, or when somebody suspects it. To whoever still runs on its behalf the leases have ended, and calls that are made of the registry, or wait for it, fail.
func (r *Registry) Kill(incarnation uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.killed[incarnation] {
		return
	}
	r.killed[incarnation] = true
	if waiting := r.cut[incarnation]; waiting != nil {
		close(waiting)
	}
	r.cut[incarnation] = make(chan struct{})
	for _, s := range r.of(incarnation) {
		s.lease.End(errKilled)
	}
}

// Reconnect undoes [Registry.Disconnect]. A session that was lost meanwhile learns it before Reconnect
// returns. Any other goes on: what it released or retired while cut off takes effect, and its
// next renewal makes its lease valid again.
func (r *Registry) Reconnect(incarnation uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	connected := r.cut[incarnation]
	if connected == nil || r.killed[incarnation] {
		return
	}
	r.timeOut()
	delete(r.cut, incarnation)
	close(connected)
	for _, s := range r.of(incarnation) {
		for _, c := range s.released {
			r.drop(c)
		}
		s.released = nil
		switch {
		case s.retiring:
			r.remove(s)
		case s.state == lost:
			r.tell(s)
		}
	}
}

// Delay makes the acknowledgements of the incarnation's renewals come d late, by the registry's clock; 0 ends it.
// At a lease or more no renewal is of use any more.
func (r *Registry) Delay(incarnation uuid.UUID, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lag[incarnation] = d
	if d <= 0 {
		delete(r.lag, incarnation)
	}
}

// of returns the incarnation's sessions that have not learned of their end.
func (r *Registry) of(incarnation uuid.UUID) []*session {
	var sessions []*session
	for _, s := range r.sessions {
		if s.member.Incarnation == incarnation {
			sessions = append(sessions, s)
		}
	}
	return sessions
}
