package object

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// A Registry says which node owns an object. Implementations: memregistry (in this process) and
// zkregistry (ZooKeeper); the suite that all of them pass is object/registrytest.
type Registry interface {
	// Join opens a session for the member and returns it with its first lease. It waits for the registry
	// until ctx ends.
	Join(ctx context.Context, m Member) (Session, error)

	// Owner returns the live member that owns key; ok is false when there is none. Looking claims nothing,
	// and what it says may be over when it returns.
	Owner(ctx context.Context, key Key) (m Member, ok bool, err error)

	// Members returns the live members, in no order, one for each incarnation: the one of its lowest session. They are asked for on many
	// calls, so the registry keeps them at hand; they may be out of date. The caller does not change them.
	Members(ctx context.Context) ([]Member, error)

	// Suspect says that a call could not reach m. A registry that can make sure that m does not serve any more lets others own its objects
	// sooner than by waiting for its session to expire. It returns at once and may be called for every failed call.
	Suspect(m Member, how Suspicion)
}

// A Suspicion says what was seen of a node that could not be reached.
type Suspicion int

const (
	// Gone: its address refused or reset the connection, or another incarnation answered there.
	Gone Suspicion = iota + 1

	// Silent: nothing came back. It may be gone, cut off from this node only, or slow.
	Silent
)

// A Member is one session of one incarnation of a node, as the others see it.
type Member struct {
	Incarnation uuid.UUID // of the node: new each time that it is opened
	Session     int       // counts the incarnation's sessions from 1; no number is used twice, also after a session was lost
	Name        string    // of the node, for people
	Address     string    // where the node takes calls; "" when it takes none
	Types       []Served  // what the node can own
}

// Served says what a node can do with objects of one type.
type Served struct {
	Type    string
	Layout  uint32 // of the states that it writes; it reads all up to this
	Methods []string
}

// A Session is a member's standing in the registry. Claims live no longer than their session, and objects
// are served under the lease of the session that claimed them. It may be used concurrently.
type Session interface {
	Member() Member

	// Lease is the session's lease, renewed by the session until it ends. Its end is the session's end.
	Lease() *Lease

	// Claim makes the session the owner of key, which is valid and not claimed by this session already, until the claim is
	// released or the session ends. When another session owns key the error is a [*NotOwnerError]; when the
	// registry is out of reach or the session has ended it matches [ErrUnavailable]. After any other error the
	// registry sees to it that what it may have left behind is soon gone.
	Claim(ctx context.Context, key Key) (Claim, error)

	// Full tells that the session should claim no more keys, since there is a limit to what one session can hold. Claims that
	// are made all the same, up to a hundred at a time, still succeed. It becomes false again when enough was released.
	Full() bool

	// Retire leaves the registry, and first of all ends the lease. By calling it the caller says that nothing is served
	// any more under this session, whether it has ended or not: whoever claims its objects next need not wait. It
	// releases claims that are left. It may be called again after an error.
	Retire(ctx context.Context) error
}

// A Claim is a session's hold on a key.
type Claim interface {
	// ServeAt is the moment, on the clock of the session's lease, before which the object must neither be
	// loaded nor served: the takeover wait of [ServeAt].
	ServeAt() time.Duration

	// Release gives the key up. The object must not be served any more when it is called. After the session's end it
	// does nothing. If ctx ends before the registry has answered, the registry goes on trying.
	Release(ctx context.Context) error
}

// A NotOwnerError says that a call did not run, or a claim was not won, since who was asked does not own the key.
type NotOwnerError struct {
	Key   Key
	Owner Member // zero if that is not known
	Err   error  // why who was asked cannot own the key; nil if that is because Owner does. With Owner: why that one, who was asked, cannot answer
}

func (e *NotOwnerError) Error() string {
	switch {
	case e.Err != nil:
		return e.Err.Error()
	case e.Owner.Incarnation == uuid.Nil:
		return fmt.Sprintf("%v is owned by another node, it is not known by which", e.Key)
	}
	return fmt.Sprintf("%v is owned by node %s (%s)", e.Key, e.Owner.Name, e.Owner.Incarnation)
}

// Unwrap returns Err.
func (e *NotOwnerError) Unwrap() error { return e.Err }

// A Clock tells the time passed since some fixed moment. It must run on while the machine sleeps if
// other machines can own objects meanwhile, and it is never set. It is read on every answer, and never by this package while a
// lock is held: a simulation stops callers in it.
type Clock func() time.Duration
