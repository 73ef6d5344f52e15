package object

import (
	"fmt"
	"math/bits"
	"time"
)

// maxSessions is how many sessions of the registry a model has at most. Each is one of the states' nodes: a node that joins again under
// its next session is a node of its own here, with the same incarnation.
const maxSessions = 3

// A modelState is a state of everything: the registry, the store, the nodes, their clients. It has no padding and no pointers.
type modelState struct {
	store blob    // what the store has
	late  [4]blob // puts that nobody waits for any more, each under the condition that the store still has what it has now: see wroteStore. They have no ids

	// The registry. Sets of nodes are bits.
	member, live nodeSet // the pairs
	open         nodeSet // the registry's sessions that have not ended there
	claims       uint8   // the object's container: the claimants in order, two bits each, a node's number plus one

	alarm uint32 // 32 bits, so that there is no padding and states are compared as bytes
	nodes [maxSessions]modelNode
	calls [maxCalls]modelCall
}

const maxCalls = 3

const (
	clash  = 1 // of alarm: somebody else seems to write the object
	untold = 2 // the caller of a request asks what came of it, and nobody can know
)

type nodeSet uint8

func (s nodeSet) has(x int) bool          { return s>>x&1 != 0 }
func (s nodeSet) with(x int) nodeSet      { return s | 1<<x }
func (s nodeSet) without(x int) nodeSet   { return s &^ (1 << x) }
func (s nodeSet) minus(t nodeSet) nodeSet { return s &^ t }

// A modelNode is a node with one session, its activation of the object, and what it knows of others.
type modelNode struct {
	known blob // the record that is committed, as far as the node knows
	put   blob // that is being written
	found blob // that stood in its place

	phase   modelPhase
	lease   uint8   // for how many ticks it is valid
	renewal uint8   // in flight: 0 none, else for how many ticks it will be good, plus one; see carriedOut
	saw     nodeSet // while it claims: the members listed, then those that it must outwait
	lost    uint16  // 16 bits, so that there is no padding; two bits for each other node: 0, or how many ticks ago it was seen lost, plus one
	attends uint8   // the two listings of who looks after lost members: see attend
	evicts  uint8   // 0, or how many ticks ago it read the version of the other's live node, plus one; see renewedSince

	kept   kept  // what is kept of recent updates after all that has run
	cur    uint8 // the object's state after that
	ran    uint8 // the calls that have run and wait for the next put: bits, of the later attempts of requests too
	batch  uint8 // those that wait for the put in flight
	writes writing
	flags  uint16 // 16 bits, too
}

const (
	carriedOut   = 1 << 3 // of renewal
	renewedSince = 1 << 3 // of evicts

	hasWritten   = 1 << 0 // of flags: a put of this activation has succeeded
	inDoubt      = 1 << 1 // an earlier attempt of the put had an unknown result
	leftReadable = 1 << 2 // broken: let go, but the state was left
)

type modelPhase uint8

const (
	mOut      modelPhase = iota // has not joined
	mJoined                     // does not have the object
	mEarly                      // broken: has listed who lives before it claims
	mClaimed                    // has made its child of the container
	mWon                        // has listed the container: nobody before it
	mListed                     // has listed the members
	mWaiting                    // knows whom it must outwait
	mAwake                      // serves
	mReleased                   // has cleared its state
	mDeleted                    // has deleted its child, and does not know it yet
	mOver                       // its session is over, and it knows
	mDead                       // its process is
)

// A writing is how far a put has come.
type writing uint8

const (
	noPut      writing = iota
	putSent            // on its way; it may arrive more than once, for it is sent again after an unknown result
	putTaken           // the store has taken it, the answer is under way
	putMet             // the store has refused it by its condition, the answer is under way
	lookSent           // the node reads what stands there
	lookDone           // and has the answer
	putDurable         // the batch may be answered
)

// A modelCall is one operation of a client.
type modelCall struct {
	phase callPhase
	at    uint8 // the node that has sampled the state for a read; of a request, see firstOut
	value uint8 // the answer, or what it will be: the state read, or the state made
	after uint8 // the calls that had been answered before it began: bits
}

type callPhase uint8

const (
	callIdle     callPhase = iota
	callChecked            // broken: a read whose lease was checked first
	callSampled            // a read has its answer and has yet to check the lease
	callRan                // an update has run
	callAgain              // it must run again, on another state
	callSent               // a request has been sent once
	callDoubt              // and again: it is not known what became of the first attempt
	callAnswered           // with success
	callErred              // with the method's error
	callFailed             // "nothing has changed"
	callUnknown            // nobody knows; it is pending for ever
)

type callKind uint8

const (
	noCall   callKind = iota
	anUpdate          // adds itself to the state
	anInsert          // fails, and its error tells the state that it ran on, as "it exists already" does
	aRead
	aRequest // an update that is sent again until it is known what came of it, and runs once
	aFickle  // one that may fail each time that it runs
)

func (k callKind) isOnce() bool  { return k >= aRequest }
func (k callKind) changes() bool { return k == anUpdate || k.isOnce() }

// A blob is a record, small: epoch and version in 3 bits each, the write id in 3, the incarnation in 1, the state in 6, what is kept of
// recent updates in 11. 0 is none. Its tag is the blob itself, for a store's tags are digests of all that a record holds.
type blob uint32

func newBlob(r *Record, state uint8, k kept) blob {
	if r.Epoch > 7 || r.Version > 7 || r.WriteID[0] > 7 || r.Incarnation[0] > 1 || state > 63 {
		panic(fmt.Sprintf("a record is too large for the model: %+v %d", r, state))
	}
	return blob(r.Epoch | r.Version<<3 | uint64(r.WriteID[0])<<6 | uint64(r.Incarnation[0])<<9 | uint64(state)<<10 | uint64(k)<<16)
}

// record is the blob as the rules know it, without the state.
func (b blob) record() (r Record) {
	r.Epoch, r.Version = uint64(b&7), uint64(b>>3&7)
	r.WriteID[0], r.Incarnation[0] = uint8(b>>6&7), uint8(b>>9&1)
	return r
}

func (b blob) id() uint8           { return uint8(b >> 6 & 7) }
func (b blob) state() uint8        { return uint8(b >> 10 & 63) }
func (b blob) kept() kept          { return kept(b >> 16) }
func (b blob) named(id uint8) blob { return b&^(7<<6) | blob(id)<<6 }

// The object's state is the updates in the order of their effects: the number of each plus one, as digits of two bits.
func appendCall(state uint8, c int) uint8 { return state<<2 | uint8(c+1) }

// holds returns how often the state has c.
func holds(state uint8, c int) (times int) {
	for ; state != 0; state >>= 2 {
		if int(state&3) == c+1 {
			times++
		}
	}
	return times
}

func updatesIn(state uint8) uint8 { return uint8(bits.Len8(state)+1) / 2 }

// firstOf is the state that had n updates, and has become this one.
func firstOf(state, n uint8) uint8 { return state >> (2 * (updatesIn(state) - n)) }

// A tick is the model's unit of time, so long that what a takeover wait is longer than a lease, for clocks that run at different rates,
// is less than one.
const modelTick = 1000 * time.Hour

// claimants returns the container's children in order.
func (g *modelState) claimants() (all [maxSessions]int, n int) {
	for c := g.claims; c != 0; c >>= 2 {
		all[n] = int(c&3) - 1
		n++
	}
	return all, n
}

func (g *modelState) unclaim(x int) {
	all, n := g.claimants()
	g.claims = 0
	for i := n - 1; i >= 0; i-- {
		if all[i] != x {
			g.claims = g.claims<<2 | uint8(all[i]+1)
		}
	}
}

func (g *modelState) claim(x int) {
	g.claims |= uint8(x+1) << ((bits.Len8(g.claims) + 1) / 2 * 2)
}

func (g *modelState) claimed(x int) bool {
	all, n := g.claimants()
	for _, y := range all[:n] {
		if y == x {
			return true
		}
	}
	return false
}

func (n *modelNode) lostFor(y int) int { return int(n.lost>>(2*y)&3) - 1 } // -1: not seen lost

func (n *modelNode) setLost(y, ticks int) {
	n.lost = n.lost&^(3<<(2*y)) | uint16(ticks+1)<<(2*y)
}

// answered is the set of calls that have been answered.
func (g *modelState) answered() (set uint8) {
	for c := range g.calls {
		if p := g.calls[c].phase; p == callAnswered || p == callErred {
			set |= 1 << c
		}
	}
	return set
}

// freshID is a write id that nothing holds any more. The names of ids do not matter: only those that are somewhere can be compared.
func (g *modelState) freshID() uint8 {
	used := 1 | uint8(1)<<g.store.id()
	for x := range g.nodes {
		n := &g.nodes[x]
		used |= 1<<n.known.id() | 1<<n.put.id() | 1<<n.found.id()
	}
	return uint8(bits.TrailingZeros8(^used))
}
