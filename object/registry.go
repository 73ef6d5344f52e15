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
}

// A Member is one session of one incarnation of a node, as the others see it.
type Member struct {
	Incarnation uuid.UUID // of the node: new each time that it joins after having lost the registry
	Session     int       // counts the incarnation's sessions
	Name        string    // of the node, for people
	Address     string    // where the node takes calls; "" when it takes none
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

// A NotOwnerError says that another member owns the key.
type NotOwnerError struct {
	Key   Key
	Owner Member
}

func (e *NotOwnerError) Error() string {
	return fmt.Sprintf("%v is owned by node %s (%s)", e.Key, e.Owner.Name, e.Owner.Incarnation)
}

// A Clock tells the time passed since some fixed moment. It must run on while the machine sleeps if
// other machines can own objects meanwhile, and it is never set. It is read on every answer.
type Clock func() time.Duration
