package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/highlander-go/highlander/codec"
)

// An activation is an object in memory: from its claim until it is let go. What a read needs is in the
// first fields and needs no lock. An activation that has nothing to do has no goroutine and no work.
type activation struct {
	table     *table
	id        string
	serving   *serving
	committed atomic.Pointer[snapshot] // nil: may not be answered from, or not yet
	used      atomic.Uint32            // the host's count of sweeps when it was last called

	mu     sync.Mutex
	phase  phase
	wrote  bool // a put of this activation has succeeded
	mine   bool // the last record was written by this incarnation
	exists bool // there is a record, and it is no tombstone
	size   int  // of the committed state, encoded
	change *transition
	work   *work // nil when there is nothing to do
	claim  Claim

	// of the last record
	epoch    uint64
	version  uint64
	tag      Tag
	digest   digest
	requests []byte // see results
	settled  bool   // of those this host's own are not asked for any more
	aged     uint32 // the host's count of sweeps when they were last made old
}

// A snapshot is a committed state. Nobody changes it.
type snapshot struct {
	state   any
	version uint64
	layout  uint32 // of its record, see [Record].layout
	carried []byte // the encoded state, if it may hold what this program does not know
}

// A digest stands for an encoded state, to tell whether an update has changed anything.
type digest [2]uint64

// The seeds are secret and drawn anew in each process: nobody can make two states of one digest.
var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func digestOf(state []byte) digest {
	return digest{maphash.Bytes(seeds[0], state), maphash.Bytes(seeds[1], state)}
}

type phase uint8

const (
	waking  phase = iota // claiming and loading
	awake                // can be called
	leaving              // accepts nothing more, finishes what it has accepted
	over                 // answers nothing any more
)

func (p phase) String() string {
	return [...]string{"waking up", "awake", "being released", "over"}[p]
}

// A transition is what callers wait for while the object cannot be called.
type transition struct {
	phase phase
	idle  signal // a leaving object has nothing left to do
	done  signal // the object can be called, or is gone and can be woken again
	err   error  // why it could not be woken; set before done
}

// A signal is a channel that is closed once.
type signal chan struct{}

// set closes the channel. The activation's mu is held.
func (s signal) set() {
	select {
	case <-s:
	default:
		close(s)
	}
}

func newTransition(p phase) *transition {
	return &transition{phase: p, idle: make(signal), done: make(signal)}
}

func (a *activation) key() Key { return Key{a.table.def.name, a.id} }

// touch notes that the object was used. It writes only once between two sweeps, so that readers on many
// processors do not fight for the word.
func (a *activation) touch() {
	if now := a.table.host.sweeps.Load(); a.used.Load() != now {
		a.used.Store(now)
	}
}

// changing returns what callers must wait for, nil if the object can be called.
func (a *activation) changing() *transition {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.change
}

// claimed tells whether the claim was won.
func (a *activation) claimed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.claim != nil
}

// wake claims and loads the object. When it fails, all who wait are told, and the next call tries again.
func (a *activation) wake() {
	var l *loaded
	var err error = &initError{fmt.Errorf("%v: %w: it called runtime.Goexit", a.key(), ErrPanic)}
	defer func() { a.woken(l, err) }()
	l, err = a.load(a.serving.ctx)
}

func (a *activation) woken(l *loaded, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase == over {
		return // torn down meanwhile
	}
	if err != nil {
		if failed := (*initError)(nil); errors.As(err, &failed) {
			a.change.err = err // as it would at any other node
		} else if a.serving.lease.Err() == nil {
			a.change.err = refuse(a.key(), err) // else who waits here goes on under the next session
		}
		a.giveUp(err)
		return
	}
	a.adopt(l)
	a.change.done.set()
	a.phase, a.change = awake, nil
}

// load claims the object, waits until it may be served, and loads its record. That the claim has stood until the record was
// read is told by the lease, which is checked before each answer out of the state and before each update that is to run on it: a session that has
// lost a claim renews no more.
func (a *activation) load(ctx context.Context) (*loaded, error) {
	key := a.key()
	step, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	claim, err := a.serving.session.Claim(step, key)
	var elsewhere *NotOwnerError
	if errors.As(err, &elsewhere) {
		return nil, err
	} else if err != nil {
		return nil, unavailable(key, fmt.Errorf("it could not be claimed: %w", err))
	}
	a.mu.Lock()
	a.claim = claim
	a.mu.Unlock()
	if err := sleepUntil(ctx, a.serving.lease.Clock(), claim.ServeAt()); err != nil {
		return nil, unavailable(key, fmt.Errorf("it waited for a lost owner's lease to be over: %w", err))
	}
	step, cancel = context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	record, tag, err := a.table.host.config.Committer.Load(step, key)
	a.table.host.store.note(ctx, key, err)
	if err != nil {
		a.table.host.config.Log.Error("an object could not be loaded", "object", key, "error", err)
		return nil, unavailable(key, fmt.Errorf("it could not be loaded: %w", err))
	}
	return a.prepare(ctx, record, tag)
}

// A loaded is a record read and decoded.
type loaded struct {
	state   any
	record  *Record // nil: there is none, the state is the default; so it is of a tombstone
	tag     Tag
	digest  digest
	size    int    // of the encoded state
	carried []byte // the encoded state, if it may hold what this program does not know

	requests []byte // of the record; none if they are too old
}

// decode takes the state out of the record, which is nil if there is none.
func (a *activation) decode(r *Record, tag Tag) (*loaded, error) {
	def := a.table.def
	requests, err := r.recent(time.Now())
	if err != nil {
		return nil, unavailable(a.key(), err)
	}
	if r == nil || r.Deleted {
		state := def.fresh()
		encoded, err := a.encode(nil, state)
		return &loaded{state: state, record: r, tag: tag, digest: digestOf(encoded), size: len(encoded), requests: requests}, err
	}
	state, err := decodeState(def, r)
	if err != nil {
		a.table.host.config.Log.Error("an object's state cannot be read", "object", a.key(), "error", err)
		return nil, unavailable(a.key(), err)
	}
	l := &loaded{state: state, record: r, tag: tag, requests: requests}
	whole := r.State
	if def.shape != nil { // as this program would have written it: another version may have written less, or in another layout
		encoded, err := a.encode(nil, state)
		if err != nil {
			return nil, err
		}
		if whole, err = codec.Carry(nil, r.State, encoded, def.shape); err != nil && r.Layout == def.layout {
			return nil, unavailable(a.key(), err)
		} else if err != nil {
			whole = encoded // the other layout has another form: the state is what the upgrade has made of it
		}
		if !bytes.Equal(whole, encoded) {
			l.carried = whole
		}
	}
	l.digest, l.size = digestOf(whole), len(whole)
	return l, nil
}

// adopt makes what was loaded the committed state. mu is held.
func (a *activation) adopt(l *loaded) {
	a.digest, a.size, a.exists = l.digest, l.size, l.record != nil && !l.record.Deleted
	next := &snapshot{state: l.state, layout: l.record.layout(), carried: l.carried}
	if r := l.record; r != nil {
		a.epoch, a.version, a.tag, a.requests = r.Epoch, r.Version, l.tag, l.requests
		a.aged, a.settled = a.table.host.sweeps.Load(), false
		a.mine = r.Incarnation == a.serving.member.Incarnation
		next.version = r.Version
	}
	a.committed.Store(next)
}

func decodeState(def *definition, r *Record) (state any, err error) {
	defer func() { // a user's own decoder may panic over bytes that it does not expect
		if p := recover(); p != nil {
			err = fmt.Errorf("its state cannot be decoded: %v", p)
		}
	}()
	state, err = def.decode(r.Layout, r.State)
	if newer := newerIn(err); newer != nil {
		return nil, newer
	} else if err != nil {
		return nil, fmt.Errorf("its state cannot be decoded as the program's type: %w", err)
	}
	return state, nil
}

// end gives the activation up: what is under way is answered as far as anybody can know, and results that
// come later are ignored. What is queued has surely not run and goes on elsewhere. It tells whether it was this call
// that ended the activation.
func (a *activation) end(cause error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase == over {
		return false
	}
	a.phase = over
	a.committed.Store(nil)
	if a.change == nil {
		a.change = newTransition(over)
	}
	a.change.idle.set()
	w := a.work
	if w == nil {
		return true
	}
	a.work = nil
	for _, o := range w.waiting() {
		if o.hasCalled() { // in a run that was undone
			o.answer(a.undone(o, cause))
		} else {
			o.answer(errMoved)
		}
	}
	if w.running != nil {
		w.running.run.giveUp()
		w.running.answer(a.undone(w.running, cause))
	}
	for _, o := range w.ran {
		o.answer(a.undone(o, cause))
	}
	for _, o := range w.batch {
		if o.writes {
			o.answer(unknown(a.key(), cause))
		} else {
			o.answer(a.undone(o, cause))
		}
	}
	return true
}

// undone is what o is told when it has not changed the object. What it has called may have changed: then it must be tried again under the same id.
func (a *activation) undone(o *op, cause error) error {
	if o.hasCalled() || o.told {
		return unknown(a.key(), cause)
	}
	return unavailable(a.key(), cause)
}

// forget removes an activation that is over: from now on the object can be woken again.
func (a *activation) forget() {
	a.table.remove(a)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.change.done.set()
}

// abandon ends the activation and gives its claim back. If it is being ended already, it waits for that.
func (a *activation) abandon(ctx context.Context, cause error) {
	if !a.end(cause) {
		select {
		case <-a.changing().done:
		case <-ctx.Done():
		}
		return
	}
	if a.claim != nil {
		a.unclaim(ctx)
	}
	a.forget()
}

// giveUp is abandon for those who hold mu.
func (a *activation) giveUp(cause error) {
	a.mu.Unlock()
	a.abandon(a.serving.ctx, cause)
	a.mu.Lock()
}

// release lets go of the object: it finishes what was accepted, within the step's time limit and ctx, and
// gives the claim back. If onlyIdle is set it does so only if there is nothing to finish. It returns when the
// object is gone.
func (a *activation) release(ctx context.Context, onlyIdle bool) {
	a.mu.Lock()
	if a.phase != awake || onlyIdle && a.work != nil {
		change := a.change
		a.mu.Unlock()
		if change != nil && !onlyIdle { // waking, or on its way out already
			select {
			case <-change.done:
			case <-ctx.Done():
			}
		}
		return
	}
	change := a.beginRelease()
	a.mu.Unlock()
	a.finishRelease(ctx, change, onlyIdle)
}

// beginRelease has the object accept nothing more. mu is held.
func (a *activation) beginRelease() *transition {
	change := newTransition(leaving)
	a.phase, a.change = leaving, change
	if a.work == nil {
		change.idle.set()
	}
	return change
}

// finishRelease waits until all that was accepted is finished, and gives the claim back.
func (a *activation) finishRelease(ctx context.Context, change *transition, onlyIdle bool) {
	timer := time.NewTimer(stepTimeout)
	defer timer.Stop()
	select {
	case <-change.idle:
	case <-timer.C:
	case <-ctx.Done():
	}
	if onlyIdle {
		a.purge(ctx)
	}
	// The state is cleared before the claim is released: who reads a moment later is sent on.
	a.abandon(ctx, fmt.Errorf("the object was released before the update had finished: %w", ErrClosed))
}

// purge removes the object's tombstone, if the record is one: nothing has asked for the object for its idle time. The object is leaving
// and has no work, so that nobody writes it; a deletion that comes late finds another tag, or makes the
// next owner begin anew.
func (a *activation) purge(ctx context.Context) {
	a.mu.Lock()
	tag, tombstone := a.tag, a.version > 0 && !a.exists && a.phase == leaving && a.work == nil
	a.mu.Unlock()
	if a.table.def.init != nil { // without the tombstone it would be made again
		return
	}
	if !tombstone || a.mayBeAsked() || !a.serving.lease.Valid() || memoryIsShort() { // that lets objects go before their time
		return
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if err := a.table.host.config.Committer.Purge(ctx, a.key(), tag); err != nil {
		a.table.host.config.Log.Debug("a tombstone could not be purged: it stays", "object", a.key(), "error", err)
	}
}

// unclaim gives the claim back. If that fails, the claim ends with the session.
func (a *activation) unclaim(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if err := a.claim.Release(ctx); err != nil && a.serving.ctx.Err() == nil {
		a.table.host.config.Log.Warn("a claim could not be released in time: others may have to wait for the object",
			"object", a.key(), "error", err)
	}
}
