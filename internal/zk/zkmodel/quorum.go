package zkmodel

import (
	"maps"
	"slices"
	"time"
)

// tick happens twice in each tickTime, as the leader's pings do.
func (m *Model) tick() {
	if l := m.leader; l != nil && !l.paused {
		for _, f := range m.servers {
			m.ping(l, f)
		}
	}
	m.giveUpSilent()
	m.join()
	m.considerElection()
	m.after(m.config.Tick/2, m.tick)
}

// ping asks a follower which sessions it has heard of (Learner.ping): the only way that a touch there reaches the leader.
func (m *Model) ping(l, f *server) {
	if f == l || f.fromLeader == nil {
		return
	}
	f.fromLeader.send(func() {
		f.heard = time.Now()
		touched := slices.Sorted(maps.Keys(f.touched))
		clear(f.touched)
		f.toLeader.send(func() {
			f.acked = time.Now()
			for _, id := range touched {
				m.touch(id)
			}
		})
	})
}

// giveUpSilent ends what has not been heard of for too long.
func (m *Model) giveUpSilent() {
	limit := time.Duration(m.config.SyncLimit) * m.config.Tick
	for _, s := range m.servers {
		switch {
		case s.paused:
		case s.state == following && time.Since(s.heard) > limit:
			s.look()
		case s.state == looking && s.fromLeader != nil && time.Since(s.heard) > limit:
			s.unlink()
		case s.state == leading && s.leads():
			for _, f := range m.servers {
				if f.fromLeader != nil && time.Since(f.acked) > limit {
					f.unlink() // it will notice by itself
				}
			}
			if m.majorityFollows() {
				s.quorum = time.Now()
			} else if time.Since(s.quorum) > limit {
				m.depose()
				s.look()
			}
		case s.state == leading && time.Since(s.quorum) > limit:
			s.look()
		}
	}
}

// look gives up what the server was: clients lose their connections, and what it had under way to its leader is lost.
func (s *server) look() {
	s.state = looking
	s.stalled = nil
	s.unlink()
	s.shutAll()
}

// unlink breaks the link between a follower and its leader.
func (s *server) unlink() {
	s.toLeader.reset()
	s.fromLeader.reset()
	s.toLeader, s.fromLeader = nil, nil
}

// join lets servers that look for a leader follow one that they reach.
func (m *Model) join() {
	if m.leader == nil || m.leader.paused {
		return
	}
	for _, f := range m.servers {
		if f.state == looking && !f.paused && f.fromLeader == nil && m.open(f.host, m.leader.host) {
			m.follow(f)
		}
	}
	m.commitStalled()
}

// follow makes f a follower, which serves when it has caught up.
func (m *Model) follow(f *server) {
	l := m.leader
	f.unlink()
	f.toLeader = m.newLink(f.host, l.host)
	f.fromLeader = m.newLink(l.host, f.host)
	f.heard, f.acked = time.Now(), time.Now()
	for _, e := range m.log[f.applied:] {
		f.fromLeader.send(func() { f.apply(e, false) })
	}
	f.fromLeader.send(func() { f.state = following })
}

// considerElection holds an election a while after a majority has no leader.
func (m *Model) considerElection() {
	if m.voting || !m.isMajority(len(m.voters())) {
		return
	}
	m.voting = true
	m.after(m.config.Election, func() {
		m.voting = false
		voters := m.voters()
		slices.SortFunc(voters, func(a, b *server) int { // the furthest one wins, then the highest id
			if a.applied != b.applied {
				return b.applied - a.applied
			}
			return b.id - a.id
		})
		for _, s := range voters {
			n := 0
			for _, v := range voters {
				if v == s || m.open(v.host, s.host) {
					n++
				}
			}
			if m.isMajority(n) {
				m.lead(s)
				return
			}
		}
	})
}

// voters are the servers that look for a leader and follow none.
func (m *Model) voters() (voters []*server) {
	for _, s := range m.servers {
		if s.state == looking && !s.paused && s.fromLeader == nil {
			voters = append(voters, s)
		}
	}
	return voters
}

// depose leaves the ensemble without a leader. Followers notice at once if they can, else when it has been silent for too long.
func (m *Model) depose() {
	l := m.leader
	m.leader = nil
	for _, f := range m.servers {
		if f.fromLeader == nil {
			continue
		}
		f.unlink()
		if m.open(f.host, l.host) {
			f.look()
		}
	}
}

// lead makes s the leader. It has all that was committed: a majority had acknowledged it, and none is elected that lacks something. A leader that it cannot reach
// goes on for a while, with reads of its own past; so do those who cannot reach s.
func (m *Model) lead(s *server) {
	s.look()
	for _, o := range m.servers {
		if o != s && o.serving() && m.open(o.host, s.host) {
			o.look()
		}
		if o != s && o.fromLeader != nil {
			o.unlink()
		}
	}
	for s.applied < len(m.log) {
		s.apply(m.log[s.applied], false)
	}
	m.leader = s
	s.state = leading
	s.quorum = time.Now()
	for id, t := range m.sessions {
		// A new leader knows no touches: every session gets its full time, and belongs to nobody yet.
		t.owner, t.closing = nil, false
		m.touch(id)
	}
	m.join()
}
