package zkregistry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/object"
)

// A memberInfo is what a pair's members node says, for ever.
type memberInfo struct {
	object.Member
	lease time.Duration // the length of its leases
}

// memberData is the form of it: JSON, so that a person can read it with any client.
type memberData struct {
	Name    string          `json:"name"`
	Address string          `json:"address,omitempty"`
	LeaseMS int64           `json:"lease_ms"`
	Types   []object.Served `json:"types,omitempty"`
}

const (
	maxLease = time.Minute

	// unreadableLease is how long the leases of a member are taken to be that does not say so in a way that this program can read.
	unreadableLease = maxLease
)

func encodeMember(m memberInfo) ([]byte, error) {
	return json.Marshal(memberData{m.Name, m.Address, m.lease.Milliseconds(), m.Types})
}

// decodeMember reads the data of the pair's members node. What cannot be read must not be believed to be short.
func decodeMember(pair string, data []byte) (memberInfo, error) {
	var d memberData
	incarnation, session, err := parsePair(pair)
	if err == nil {
		err = json.Unmarshal(data, &d)
	}
	if err == nil && (d.LeaseMS <= 0 || d.LeaseMS > int64(time.Hour/time.Millisecond)) {
		err = fmt.Errorf("its lease is %d ms", d.LeaseMS)
	}
	if err != nil {
		return memberInfo{object.Member{Incarnation: incarnation, Session: session}, unreadableLease}, fmt.Errorf("member %q cannot be read: %w", pair, err)
	}
	m := object.Member{Incarnation: incarnation, Session: session, Name: d.Name, Address: d.Address, Types: d.Types}
	return memberInfo{m, time.Duration(d.LeaseMS) * time.Millisecond}, nil
}

// member returns what the pair says of itself; ok is false when there is no such pair any more. It never changes, so each is read once.
func (r *Registry) member(ctx context.Context, c zk.Session, pair string) (m memberInfo, ok bool, err error) {
	r.mu.Lock()
	m, ok = r.known[pair]
	r.mu.Unlock()
	if ok {
		return m, true, nil
	}
	if m, ok, err = r.readMember(ctx, c, pair); ok {
		r.mu.Lock()
		r.known[pair] = m
		r.mu.Unlock()
	}
	return m, ok, err
}

// readMember reads it.
func (r *Registry) readMember(ctx context.Context, c zk.Session, pair string) (m memberInfo, ok bool, err error) {
	var data []byte
	err = persistently(ctx, func() error {
		data, _, err = c.Get(ctx, r.paths.member(pair))
		return err
	})
	if errors.Is(err, zk.ErrNoNode) {
		return m, false, nil
	} else if err != nil {
		return m, false, err
	}
	if m, err = decodeMember(pair, data); err != nil {
		r.log.Error("a member of the cluster cannot be read: its leases are taken for long", "error", err, "lease", m.lease)
	}
	return m, true, nil
}

// persistently repeats what the connection's loss has cut short: f can be carried out more than once. A request that is
// made while there is no connection waits for one, so this does not spin.
func persistently(ctx context.Context, f func() error) error {
	for {
		if err := f(); !errors.Is(err, zk.ErrConnectionLost) || ctx.Err() != nil {
			return err
		}
	}
}
