package faults

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
)

// A Quorum is a proxy between followers and a ZooKeeper server that leads them, on the port by which it does: 2888 as a rule. It can lose the leader's pings, and
// nothing else. Followers then do not tell which sessions they have heard of. Its methods may be called concurrently.
type Quorum struct {
	listener net.Listener
	target   string
	served   sync.WaitGroup

	mu      sync.Mutex
	losing  bool
	lost    int
	conns   map[net.Conn]bool // to followers
	leaders map[net.Conn]bool
	closed  bool
}

// NewQuorum returns a proxy that listens on addr, in front of the leader at target, both host:port.
func NewQuorum(addr, target string) (*Quorum, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("quorum proxy: %w", err)
	}
	q := &Quorum{listener: listener, target: target, conns: make(map[net.Conn]bool), leaders: make(map[net.Conn]bool)}
	q.served.Go(func() {
		for {
			follower, err := listener.Accept()
			if err != nil {
				return // closed
			}
			q.served.Go(func() { q.serve(follower) })
		}
	})
	return q, nil
}

// Addr is the host:port that the proxy listens on.
func (q *Quorum) Addr() string { return q.listener.Addr().String() }

// LosePings says whether pings are lost from now on.
func (q *Quorum) LosePings(lose bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.losing = lose
}

// Lost is how many pings have been lost.
func (q *Quorum) Lost() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost
}

// Followers is how many are connected.
func (q *Quorum) Followers() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.conns)
}

// Close ends the proxy and its connections.
func (q *Quorum) Close() {
	q.mu.Lock()
	q.closed = true
	q.listener.Close()
	for c := range q.conns {
		c.Close()
	}
	for c := range q.leaders {
		c.Close()
	}
	q.mu.Unlock()
	q.served.Wait()
}

func (q *Quorum) serve(follower net.Conn) {
	defer follower.Close()
	leader, err := net.Dial("tcp", q.target)
	if err != nil {
		return
	}
	defer leader.Close()
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return
	}
	q.conns[follower], q.leaders[leader] = true, true
	q.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(leader, follower)
		leader.Close()
	})
	_ = q.pass(follower, bufio.NewReader(leader)) // the connection is over, whatever the reason
	follower.Close()
	back.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.conns, follower)
	delete(q.leaders, leader)
}

// Types of a leader's packets, as in ZooKeeper's Leader.java.
const (
	packetPing     = 5
	packetSnapshot = 15
)

// snapshotEnd is what a leader writes after the snapshot, which follows its packet without a length.
var snapshotEnd = []byte("BenevolentLeader")

// pass carries a leader's packets to a follower: type, zxid, data, and identities as a rule absent, as in ZooKeeper's QuorumPacket.
func (q *Quorum) pass(follower io.Writer, leader *bufio.Reader) error {
	for {
		var packet bytes.Buffer
		in := io.TeeReader(leader, &packet)
		var head struct {
			Type int32
			Zxid int64
		}
		if err := binary.Read(in, binary.BigEndian, &head); err != nil {
			return err
		}
		if err := skipBytes(in); err != nil { // data
			return err
		}
		var identities int32
		if err := binary.Read(in, binary.BigEndian, &identities); err != nil {
			return err
		}
		for range 2 * max(identities, 0) { // each: scheme and id
			if err := skipBytes(in); err != nil {
				return err
			}
		}
		q.mu.Lock()
		lose := q.losing && head.Type == packetPing
		if lose {
			q.lost++
		}
		q.mu.Unlock()
		if lose {
			continue
		}
		if _, err := follower.Write(packet.Bytes()); err != nil {
			return err
		}
		if head.Type == packetSnapshot {
			if err := passUntil(follower, leader, snapshotEnd); err != nil {
				return err
			}
		}
	}
}

// skipBytes reads a length, -1 for none, and so many bytes.
func skipBytes(r io.Reader) error {
	var n int32
	if err := binary.Read(r, binary.BigEndian, &n); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, r, int64(max(n, 0)))
	return err
}

// passUntil carries bytes up to the first end, which goes with them.
func passUntil(to io.Writer, from *bufio.Reader, end []byte) error {
	var last []byte
	for !bytes.HasSuffix(last, end) {
		piece, err := from.ReadSlice(end[len(end)-1])
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
		if _, err := to.Write(piece); err != nil {
			return err
		}
		last = append(last, piece...)
		last = bytes.Clone(last[max(0, len(last)-len(end)):])
	}
	return nil
}
