package zkmodel

import (
	"fmt"

	"github.com/highlander-go/highlander/internal/zk"
)

// Leader is the server that leads now, or -1.
func (m *Model) Leader() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leader == nil {
		return -1
	}
	return m.leader.id
}

// ServerOf is the server that a session is connected to, or -1.
func (m *Model) ServerOf(session int64) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.clientsOf[session]; s != nil && s.ready {
		return s.conn.server.id
	}
	return -1
}

// Kill ends a server's process. Its disk keeps what it has applied. Its clients and its followers, or its leader, hear of it at once if they can.
func (m *Model) Kill(i int) {
	m.do(func() {
		s := m.servers[i]
		if s.leads() {
			m.depose()
		}
		s.look()
		s.state, s.paused = down, false
		m.considerElection()
		m.pump()
	})
}

// Start starts a server that was killed. It serves when it has found a leader and caught up.
func (m *Model) Start(i int) {
	m.do(func() {
		if s := m.servers[i]; s.state == down {
			s.state = looking
		}
		m.join()
		m.considerElection()
	})
}

// Pause stops a server's process (SIGSTOP): what is sent to it waits, and it sends nothing.
func (m *Model) Pause(i int) { m.do(func() { m.servers[i].paused = true }) }

// Resume lets a paused server go on. If it leads, it first ends the sessions whose time has come, before it reads what they have sent.
func (m *Model) Resume(i int) {
	m.do(func() {
		s := m.servers[i]
		s.paused = false
		if s.leads() {
			m.expire()
		}
		m.pump()
	})
}

// Elect makes a server the leader, at once. Servers that the new leader cannot reach do not know it: the old leader goes on to answer reads, and even syncs, from
// its own past until [Config.SyncLimit].
func (m *Model) Elect(i int) error {
	var err error
	m.do(func() {
		if s := m.servers[i]; s.state == down || s.paused {
			err = fmt.Errorf("zkmodel: server %d cannot lead: it does not run", i)
		} else if !s.leads() {
			m.lead(s)
		}
	})
	return err
}

// Disconnect breaks a session's connection for both ends, with what is under way on it. The client looks for another one.
func (m *Model) Disconnect(session int64) {
	m.do(func() {
		if s := m.clientsOf[session]; s != nil && s.conn != nil {
			s.conn.reset()
		}
	})
}

// Expire has the leader end a session, as if its time had come.
func (m *Model) Expire(session int64) error {
	err := error(nil)
	m.do(func() {
		switch t := m.sessions[session]; {
		case t == nil || t.closing:
			err = fmt.Errorf("zkmodel: no session %d: %w", session, zk.ErrSessionOver)
		case m.leader == nil:
			err = fmt.Errorf("zkmodel: no leader to end session %d", session)
		default:
			m.end(session)
		}
	})
	return err
}

// CollectContainers deletes, now, the containers whose last child is gone. One in a container that this empties waits for the next time.
func (m *Model) CollectContainers() { m.do(m.collect) }

// Wipe makes the ensemble a fresh one, with nothing on its disks. Clients are refused for as long as they have seen more than it has done.
func (m *Model) Wipe() {
	m.do(func() {
		for _, s := range m.servers {
			s.shutAll()
			s.unlink()
			s.tree, s.applied, s.stalled = newTree(), 0, nil
			if s.state == following {
				s.state = looking
			}
		}
		m.log = nil
		clear(m.sessions)
		m.join()
	})
}
