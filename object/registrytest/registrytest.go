// Package registrytest is the suite that every [object.Registry] must pass, in the manner of testing/fstest.
//
// It runs in real time against real servers and in virtual time inside a testing/synctest bubble alike: it never
// assumes that it can move the clock, waits for conditions instead of sleeping until something must
// have happened, and holds times only against the clock of the leases. It takes some ten
// session timeouts. In a test of the registry:
//
//	func TestContract(t *testing.T) {
//		registrytest.Run(t, func(t *testing.T) registrytest.Cluster { return newCluster(t) })
//	}
//
// A registry that lives in this process runs each of [Checks] in a bubble of its own.
package registrytest

import (
	"testing"
	"time"

	"github.com/highlander-go/highlander/object"
)

// A Cluster is an empty registry, the nodes that use it, and what can go wrong between them. It must be safe for
// concurrent use. The clocks of all leases that come from one cluster must be the same one.
type Cluster interface {
	// Lease is the length L that leases have by default; no check asks for a longer one. With real servers
	// and real time make it 1 s or more: poll intervals and tolerances are fractions of it.
	Lease() time.Duration

	// SessionTimeout is T, after which the registry gives up a session that it has not heard of. It must leave
	// room for a lease to lapse before the session does, twice the lease at least.
	SessionTimeout() time.Duration

	// Node returns the registry as one more node sees it, whose members' leases have the length given.
	Node(lease time.Duration) (object.Registry, error)

	// Expire makes the registry declare the member's session lost, and returns when it has: before
	// the session knows, and also when the member is disconnected.
	Expire(object.Member) error

	// Disconnect cuts the member's session off and returns when nothing gets through any more, in either
	// direction. Requests that were on the way may have taken effect.
	Disconnect(object.Member) error

	// Reconnect undoes Disconnect.
	Reconnect(object.Member) error
}

// A Slower is a [Cluster] that can also hold back answers. It is needed to tell a lease that counts from
// the sending of its renewal from one that counts from the acknowledgement; without it that check is skipped.
type Slower interface {
	Cluster

	// Slow makes the answers to the member's requests arrive no sooner than delay after they were sent.
	Slow(m object.Member, delay time.Duration) error
}

// A T is what a check reports to: a *testing.T, or the recorder of a test of the suite itself. Fatalf
// must end the calling goroutine.
type T interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// A Check is one statement about registries.
type Check struct {
	Name string // as a test's name, unique
	Run  func(T, Cluster)
}

// Run runs every check as a subtest, each on a cluster of its own that open makes. open registers
// its own clean-up with the subtest.
func Run(t *testing.T, open func(*testing.T) Cluster) {
	for _, c := range Checks() {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, open(t)) })
	}
}

// Checks returns all checks. Each wants an empty cluster and leaves sessions behind in it.
func Checks() []Check {
	return []Check{
		{"JoinGivesAValidLease", joinGivesAValidLease},
		{"LeaseIsRenewed", leaseIsRenewed},
		{"LeaseEndsALeaseAfterTheLastWord", leaseEndsALeaseAfterTheLastWord},
		{"LeaseCountsFromTheSending", leaseCountsFromTheSending},

		{"OneOfManyClaimersWins", oneOfManyClaimersWins},
		{"OwnerIsFound", ownerIsFound},
		{"ClaimingTwiceIsRefused", claimingTwiceIsRefused},
		{"OneIncarnationsSessionsAreTwoOwners", oneIncarnationsSessionsAreTwoOwners},
		{"OddIDsAreDistinct", oddIDsAreDistinct},
		{"CancelledClaimLeavesNothing", cancelledClaimLeavesNothing},

		{"ReleaseHandsOverAtOnce", releaseHandsOverAtOnce},
		{"ReleaseIsOfOneClaim", releaseIsOfOneClaim},
		{"RetireHandsOverAtOnce", retireHandsOverAtOnce},
		{"RetireAfterLossEndsTheWait", retireAfterLossEndsTheWait},
		{"NoGoroutineStays", noGoroutineStays},

		{"MembersAreListed", membersAreListed},
		{"SuspicionTakesNothingFromTheHealthy", suspicionTakesNothingFromTheHealthy},
		{"StoreReportsReachOthers", storeReportsReachOthers},

		{"ExpiryIsTold", expiryIsTold},
		{"TakeoverWaitsForTheLostLease", takeoverWaitsForTheLostLease},
		{"LaterNodesWaitToo", laterNodesWaitToo},
		{"WaitIsOfTheLostMembersLease", waitIsOfTheLostMembersLease},
		{"WaitEnds", waitEnds},
		{"ShortDisconnectKeepsTheSession", shortDisconnectKeepsTheSession},
		{"LongDisconnectEndsTheSession", longDisconnectEndsTheSession},
	}
}
