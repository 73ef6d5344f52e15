package object

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Exactly once, after RIFL (Lee et al., Implementing Linearizability at Large Scale and Low Latency, SOSP 2015), with time in the place of its leases. Each
// update has an id. The object's record keeps what came of it until its caller surely asks no more, so that a caller that has lost an answer
// may send the update again: it runs once. See results for what is kept, and way for who asks again.

const (
	// retryFor is how long the router goes on with an update of which it does not know what has become.
	retryFor = 2 * time.Minute

	// retryWithin is how long after its first attempt has begun an update may be tried again at all: later what came of that may be kept no more.
	retryWithin = keepResults - 2*retryFor

	// keepResults is how long results are kept at least, where their caller does not say that it needs them no more. It is much more than retryFor, for
	// a frame may come late: by as long as TCP goes on to deliver what was sent on a connection that its sender has given up.
	keepResults = 10 * time.Minute
)

// tooOld tells whether an attempt that has begun then may have left results that are kept no more. The wall clock goes on while the process or its
// machine stands still, and the monotonic one does not jump.
func tooOld(began time.Time) bool {
	now := time.Now()
	return max(now.Sub(began), now.Round(0).Sub(began.Round(0))) > retryWithin
}

var errTooOld = fmt.Errorf("its first attempt began more than %v ago: what came of that may be kept no more", retryWithin)

// KeptRequests is how long an object keeps what came of an update with an id of [WithRequestID], at least.
const KeptRequests = keepResults

// A RequestID names an update. It is the same for each attempt.
type RequestID struct {
	Caller uuid.UUID // a host; or what stands for an id from outside
	Number uint64    // counts the caller's updates from 1; 0: the id is from outside
	Part   uint64    // 0: the update itself. Else a call that it makes, or that is made with an id from outside
}

// isKept tells whether the caller cannot tell by the id alone when it is done with: it belongs to an update of another object, or was given from outside.
func (id RequestID) isKept() bool { return id.Part != 0 }

// A Numbered is what makes an update run once.
type Numbered struct {
	ID    RequestID // the zero ID: it may run again if it is sent again
	Again bool      // an earlier attempt may have run, or may yet: whatever comes of this one must be durable before it is told
	Floor uint64    // the caller has done with all its updates of the object whose numbers are lower
	Below uint64    // and with all updates of any object whose numbers are lower; 0: not said
	Check uint64    // of a part: a hash of the method and its argument, which are the same in each attempt

	nested bool // it is called by an update. It does not cross nodes
}

// WithRequestID returns a context whose updates run once for that id, however often they are called with it and at whichever node: the id is the
// application's, such as an HTTP Idempotency-Key, and longer than a caller lives. A call of an update with an id that its object has seen returns what
// it returned then. An empty id is none: ctx itself is returned.
//
// Under one id several updates may be made, of several objects too. Those of one object are told from each other by their order: make them one after the other, and whoever
// makes them again in a context of that id's own, after a crash say, makes the same ones in the same order. An update that has another argument than then, or is
// another method, fails with [ErrReused].
//
// An object keeps what came of such calls for [KeptRequests] at least, errors of its methods included, up to 256 KiB of it: one more call with an id then fails with [ErrOverloaded].
// Errors that match [ErrUnavailable], [ErrOverloaded], [ErrClosed] or [ErrUnknownOutcome], and what a method returns when its context has ended, are not kept: make the call
// again. In the same context, too, it is another attempt of the same update then, not the next one.
// After that time nothing is promised. Reads are not concerned.
func WithRequestID(ctx context.Context, id string) context.Context {
	if id == "" {
		return ctx
	}
	sum := sha256.Sum256([]byte(id))
	return context.WithValue(ctx, requestKey{}, &requestScope{parent: Numbered{ID: RequestID{Caller: uuid.UUID(sum[:16])}, Again: true}})
}

type requestKey struct{} // of a *requestScope

// A requestScope gives ids to the updates that are called from inside an update, or with an id from outside.
type requestScope struct {
	parent Numbered
	began  time.Time // when an earlier run of the update has begun, that has called others; zero: there was none

	mu    sync.Mutex
	calls map[Key]*parts // by object, so that calls of different objects may be made in any order
}

// parts are the updates of one object that were called in a scope.
type parts struct {
	last   uint64     // counts them
	failed []Numbered // of those, without an outcome that is kept: called again they are the same
}

// mayHaveRun tells whether an earlier attempt of n may have run, as n is a part of an update that runs again.
func (n *Numbered) mayHaveRun() bool { return n.Again && n.nested }

// part numbers a call on key with that check: the next one, or one like it that has failed.
func (s *requestScope) part(key Key, check uint64) Numbered {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.calls[key]
	if p == nil {
		if s.calls == nil {
			s.calls = make(map[Key]*parts)
		}
		p = &parts{}
		s.calls[key] = p
	}
	if i := slices.IndexFunc(p.failed, func(n Numbered) bool { return n.Check == check }); i >= 0 {
		n := p.failed[i]
		p.failed = slices.Delete(p.failed, i, i+1)
		return n
	}
	p.last++
	n := s.parent
	n.Floor, n.Check, n.nested = 0, check, s.parent.ID.Number > 0 || s.parent.ID.isKept()
	n.ID.Part = max(1, mix(mix(n.ID.Part^hashOf(key))^p.last))
	return n
}

// ended notes what came of the call n on key.
func (s *requestScope) ended(key Key, n Numbered, err error) {
	if err == nil || isFinal(err) && !errors.Is(err, ErrUnknownOutcome) && !errors.Is(err, ErrReused) {
		return
	}
	n.Again = true
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.calls[key]
	p.failed = append(p.failed, n)
}

// flights are a host's updates on their way, by which it numbers them and tells owners which are done with.
type flights struct {
	caller uuid.UUID
	last   atomic.Uint64 // number given
	shards [16]flightShard
}

type flightShard struct {
	mu   sync.Mutex
	all  []flight      // by number
	head int           // of all: the first that is not done
	done int           // of all
	low  atomic.Uint64 // at most the number of the first that is not done; math.MaxUint64: there is none
	_    [64]byte
}

// A flight is an update on its way.
type flight struct {
	number, key uint64
	done        bool
}

func (f *flights) init() {
	f.caller = uuid.New()
	for i := range f.shards {
		f.shards[i].low.Store(math.MaxUint64)
	}
}

// begin numbers an update of the object with that hash. Numbers below floor are those of updates of this object that are over.
func (f *flights) begin(key uint64) (number, floor uint64) {
	s := &f.shards[key%uint64(len(f.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.head == len(s.all) {
		s.low.Store(f.last.Load() + 1) // before the number is drawn, so that below never passes it
	}
	number = f.last.Add(1)
	floor = number
	for i := s.head; i < len(s.all); i++ {
		if s.all[i].key == key && !s.all[i].done {
			floor = s.all[i].number
			break
		}
	}
	s.all = append(s.all, flight{number: number, key: key})
	return number, floor
}

// end says that the caller has its answer, or asks no more.
func (f *flights) end(key, number uint64) {
	s := &f.shards[key%uint64(len(f.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearchFunc(s.all, number, func(f flight, n uint64) int { return int(int64(f.number - n)) })
	s.all[i].done = true
	if s.done++; s.done >= 32 && 2*s.done > len(s.all) || s.done == len(s.all) {
		s.all, s.head, s.done = slices.DeleteFunc(s.all, func(f flight) bool { return f.done }), 0, 0
	}
	for s.head < len(s.all) && s.all[s.head].done {
		s.head++
	}
	if s.head == len(s.all) {
		s.low.Store(math.MaxUint64)
	} else {
		s.low.Store(s.all[s.head].number)
	}
}

// below is a number below which all updates of this host are over.
func (f *flights) below() uint64 {
	low := f.last.Load() + 1 // before the shards are looked at
	for i := range f.shards {
		low = min(low, f.shards[i].low.Load())
	}
	return low
}
