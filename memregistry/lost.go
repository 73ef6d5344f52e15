package memregistry

import (
	"slices"
	"time"

	"github.com/highlander-go/highlander/object"
)

// lose declares s lost at the clock time at: its claims are void, and whoever claims anything from now on
// waits until its lease is surely over. The session is not told.
func (r *Registry) lose(s *session, at time.Duration) {
	s.state = lost
	s.loss = object.LostMember{Seen: at, Lease: s.length}
	r.lost = append(r.lost, s)
	r.void(s)
}

// tell lets a session that is connected know that it was lost.
func (r *Registry) tell(s *session) {
	delete(r.sessions, s.pair())
	s.lease.End(errLost)
}

// timeOut declares the sessions lost that have been cut off for too long. There is no timer for it: it is
// called before anything is looked up that could show the difference, and the loss counts from when it was due.
// A session that is not cut off is never given up, however late its renewal: it is in this very process.
func (r *Registry) timeOut() {
	if len(r.cut) == 0 {
		return
	}
	now := r.clock()
	for _, s := range r.sessions {
		due := s.renewed + r.timeout
		if s.state == live && r.cut[s.member.Incarnation] != nil && now >= due {
			r.lose(s, due)
		}
	}
}

// serveAt is the moment from which a claim made now may serve. Members whose wait is over are forgotten.
func (r *Registry) serveAt() time.Duration {
	if len(r.lost) == 0 {
		return 0
	}
	now := r.clock()
	r.lost = slices.DeleteFunc(r.lost, func(s *session) bool {
		return object.ServeAt([]object.LostMember{s.loss}) <= now
	})
	var members []object.LostMember
	for _, s := range r.lost {
		members = append(members, s.loss)
	}
	return object.ServeAt(members)
}

// remove takes s out of the registry, live or lost: it serves nothing any more, so nobody waits for it.
func (r *Registry) remove(s *session) {
	s.state = gone
	r.void(s)
	if r.sessions[s.pair()] == s {
		delete(r.sessions, s.pair())
	}
	r.lost = slices.DeleteFunc(r.lost, func(other *session) bool { return other == s })
}
