package object

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/codec"
)

// An op is one call of an update on its way through an object.
type op struct {
	mutation
	Numbered
	ctx     context.Context // the caller's
	began   time.Time       // the first attempt, as far as this node knows
	mode    PutMode
	deletes bool   // it leaves a tombstone
	sent    []byte // the whole state that another node has sent, as that has encoded it
	from    origin

	done    chan struct{} // capacity 1
	phase   opPhase       // guarded by the activation's mu, as are those below
	writes  bool          // the next record has to be written before it can be answered
	gone    bool          // the caller was told that nobody knows: o need not run again
	outcome []byte        // see results
	told    bool          // the outcome is that of an earlier attempt
	err     error
	few     [16]byte       // room for a short outcome
	first   updateContext  // of the first run, here to save an allocation
	run     *updateContext // of the last run
}

type opPhase uint8

const (
	opQueued opPhase = iota
	opStarted
	opAnswered
)

// hasCalled tells whether o has called other updates.
func (o *op) hasCalled() bool { return o.run != nil && o.run.called() }

// answer wakes the caller. The op belongs to the caller from then on.
func (o *op) answer(err error) {
	o.phase, o.err = opAnswered, err
	o.done <- struct{}{}
}

// Work is what an object has to do. Up to two goroutines are at it: one runs updates, one after the other, while
// the other one puts what has run before. They come when there is something to do and go when there is not.
type work struct {
	workers int

	queue   []*op // accepted; those before head have been taken out
	head    int
	running *op   // being run; nil: nobody runs
	redo    bool  // what the running op was based on is void: queue it again when it has returned
	ran     []*op // have run and wait for the next put
	batch   []*op // wait for the put in flight
	putting bool
	record  Record // that is being put
	spare   []*op  // room for the next batch

	// The state after all of ran, when dirty it differs from the one in flight or committed.
	dirty   bool
	exists  bool // it is not that of an object without a record, or of a deleted one
	state   any
	body    []byte // encoded, when dirty
	digest  digest
	size    int
	carried []byte // the snapshot's of state
	scratch []byte // a buffer for the next run
	results results
}

// do has the object run o and waits for the answer. errMoved says that o did not run here.
func (a *activation) do(ctx context.Context, o *op) error {
	if ctx.Err() != nil {
		return unavailable(a.key(), ended(ctx))
	}
	o.ctx, o.phase, o.writes = ctx, opQueued, false
	if err := a.submit(o); err != nil {
		return err
	}
	runtime.Gosched() // an update that needs no I/O is often done by the time that it is this goroutine's turn again
	select {
	case <-o.done:
	case <-ctx.Done():
		if err := a.withdraw(o); err != nil {
			return err // the done channel may still be written to, so it is not used again
		}
		<-o.done
	}
	a.table.host.done.Put(o.done)
	o.done = nil
	return o.err
}

func (a *activation) submit(o *op) error {
	a.touch()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase != awake {
		return errMoved
	}
	if a.work == nil {
		w := a.table.host.works.Get().(*work)
		w.start(a)
		a.work = w
	}
	w := a.work
	if w.head > len(w.queue)/2 { // else a queue that is never empty grows for ever
		w.queue, w.head = slices.Delete(w.queue, 0, w.head), 0
	}
	if n := len(w.waiting()) + len(w.ran); n >= a.table.def.maxQueue {
		return fmt.Errorf("%v: %w: %d updates are waiting; try again later", a.key(), ErrOverloaded, n)
	}
	if o.done == nil {
		o.done = a.table.host.done.Get().(chan struct{})
	}
	w.queue = append(w.queue, o)
	a.help()
	return nil
}

// withdraw is called when o's caller cannot wait any longer. It returns nil if o has been answered.
func (a *activation) withdraw(o *op) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch o.phase {
	case opAnswered:
		return nil
	case opQueued:
		if w := a.work; w != nil {
			w.queue = w.queue[:w.head+len(slices.DeleteFunc(w.waiting(), func(q *op) bool { return q == o }))]
		}
		return a.undone(o, fmt.Errorf("the update was still waiting to be run: %w", ended(o.ctx)))
	default:
		o.gone = true
		return unknown(a.key(), ended(o.ctx))
	}
}

// help starts a goroutine if there is something to do that nobody is about to do. mu is held.
func (a *activation) help() {
	w := a.work
	if w.workers == 2 || !a.mayRun(w) && !w.mayPut() {
		return
	}
	w.workers++
	a.serving.work(a)
}

// mayRun tells whether the next update may be run now. One that is conditional must know the version that it runs on: it
// waits until all before it is durable.
func (a *activation) mayRun(w *work) bool {
	return w.head < len(w.queue) && w.running == nil &&
		(!w.queue[w.head].mode.Conditional || !w.putting && len(w.ran) == 0)
}

// start makes the committed state the one that the next update runs on. a's mu is held.
func (w *work) start(a *activation) {
	snap := a.committed.Load()
	w.state, w.carried, w.digest, w.size, w.exists = snap.state, snap.carried, a.digest, a.size, a.exists
	_ = w.results.reset(a.requests) // it was read when it was adopted, or is our own
	if own := w.results.caller(a.table.host.flights.caller); own != nil && a.settled {
		w.results.clear(own)
	}
}

// waiting returns the ops that wait to be run.
func (w *work) waiting() []*op { return w.queue[w.head:] }

// take takes the next op out of the queue.
func (w *work) take() *op {
	o := w.queue[w.head]
	w.queue[w.head] = nil
	w.head++
	if w.head == len(w.queue) {
		w.queue, w.head = w.queue[:0], 0
	}
	return o
}

// requeue puts ops before those that wait.
func (w *work) requeue(ops ...*op) {
	ops = slices.DeleteFunc(ops, func(o *op) bool { return o.gone })
	for _, o := range ops {
		o.phase, o.writes = opQueued, false
	}
	w.queue, w.head = slices.Concat(ops, w.waiting()), 0
}

// mayPut tells whether what has run may be made durable now: one put is in flight at a time.
func (w *work) mayPut() bool { return len(w.ran) > 0 && !w.putting }

// toil does the object's work until there is none that another goroutine is not doing already.
func (a *activation) toil() {
	a.mu.Lock() // no deferred Unlock: a method may end the goroutine while mu is not held
	for w := a.work; a.phase != over; {
		if w.mayPut() {
			a.commit(w)
		} else if a.mayRun(w) {
			a.run(w)
		} else {
			a.rest(w)
			break
		}
	}
	a.mu.Unlock()
}

// rest is the end of one goroutine's work; the last one to go leaves the object idle. mu is held.
func (a *activation) rest(w *work) {
	w.workers--
	if w.workers > 0 {
		return
	}
	own := w.results.caller(a.table.host.flights.caller)
	a.settled = own == nil || len(own.all) == 0
	if w.results.freed { // since the last put, and there may be none for long. The rest is durable
		a.requests = w.results.encode()
	}
	w.state, w.carried, a.work = nil, nil, nil
	a.table.host.works.Put(w)
	if a.phase == leaving {
		a.change.idle.set()
	}
}

// run runs the next update. mu is held, but not while the method runs.
func (a *activation) run(w *work) {
	o := w.take()
	if a.tell(w, o) {
		return
	}
	w.running, o.phase = o, opStarted
	base, scratch := base{w.state, w.carried, w.digest, w.size, w.exists, a.version}, w.scratch[:0]
	if o.run == nil {
		o.run = &o.first
	} else {
		o.run = &updateContext{rerun: o.hasCalled(), began: o.began}
	}
	o.run.methodContext = methodContext{o.ctx, a.table, a.id}
	o.run.op, o.run.lease = &o.Numbered, a.serving.lease
	w.scratch = nil
	a.mu.Unlock()
	next := a.apply(o, base, scratch)
	a.mu.Lock()
	if a.phase == over {
		return // the caller has been told
	}
	a.ran(w, o, next)
}

// tell answers o if it has come before, or cannot be run now. mu is held.
func (a *activation) tell(w *work, o *op) bool {
	if o.ID.Caller == uuid.Nil {
		return false
	}
	w.results.heed(&o.Numbered)
	var err error
	if o.outcome, err = w.results.find(a.key(), &o.Numbered); o.outcome == nil && err == nil {
		err = w.results.full(a.key(), &o.Numbered)
	} else if err != nil {
		err = &finalError{err} // there is no use in asking again
	}
	if o.told = o.outcome != nil; !o.told && err == nil {
		return false
	}
	o.phase, o.err = opStarted, err
	w.ran = append(w.ran, o) // what it is told becomes durable with the next put, if it is not yet
	return true
}

// A base is what an update runs on.
type base struct {
	state   any
	carried []byte
	digest  digest
	size    int
	exists  bool
	version uint64
}

// An applied is what came of a run.
type applied struct {
	body    []byte // the encoded state after it; of an error, that before it. A part of scratch, or nothing
	state   any
	carries bool // body holds what this program does not know
	digest  digest
	exists  bool
	changed bool
	durable bool // it is to be so before it is told: the next record says it
	err     error
}

// ran records what came of the run of o. mu is held.
func (a *activation) ran(w *work, o *op, next applied) {
	w.running = nil
	if w.scratch = next.body; w.redo {
		w.redo = false
		w.requeue(o)
		return
	}
	o.err, o.writes = next.err, next.changed || next.durable
	if next.changed {
		w.state, w.digest, w.size, w.exists = next.state, next.digest, len(next.body), next.exists
		w.carried = nil
		if next.carries {
			w.carried = slices.Clone(next.body)
		}
	}
	if o.writes {
		w.body, w.scratch = next.body, w.body
		w.dirty = true
	}
	if o.writes && a.table.def.init != nil && a.version == 0 && !o.deletes { // a tombstone would say that the object was made, and deleted
		w.exists = true
	}
	if o.writes && o.ID.Caller != uuid.Nil {
		w.results.add(&o.Numbered, o.outcome)
		if o.err != nil {
			o.err = &finalError{o.err}
		}
	}
	w.ran = append(w.ran, o)
}

// apply runs o's method on a copy of base, and encodes what comes out.
func (a *activation) apply(o *op, base base, scratch []byte) (next applied) {
	returned := false
	defer func() {
		o.run.finish()
		if p := recover(); p != nil {
			next = a.failed(o, base, scratch, o.run.panicked(o.name(), p))
		} else if !returned {
			a.exited(o, a.failed(o, base, scratch, fmt.Errorf("%v: %w: it called runtime.Goexit", a.key(), ErrPanic)))
		}
	}()
	next = a.attempt(o, base, scratch)
	if next.err != nil {
		next = a.failed(o, base, scratch, next.err)
	}
	returned = true
	return next
}

func (a *activation) attempt(o *op, base base, scratch []byte) (next applied) {
	if o.mode.Conditional && o.mode.Version != base.version {
		next.err = fmt.Errorf("%v: %w: it is %d, not %d: read the object and try again", a.key(), ErrVersion, base.version, o.mode.Version)
		return next
	}
	if next.state, next.err = o.apply(o.run, base.state); next.err == nil {
		next.body, next.err = a.encode(scratch, next.state)
	}
	if next.err == nil && !o.deletes {
		next.body, next.carries, next.err = a.carry(next.body, o.sent, base.carried)
	}
	if next.err != nil {
		return next
	}
	next.digest = digestOf(next.body)
	next.exists = !o.deletes && (base.exists || o.mode.Creates || next.digest != base.digest)
	next.changed = next.digest != base.digest || next.exists != base.exists ||
		o.deletes && base.version == 0 && a.table.def.init != nil // else it would be made again
	next.durable = o.Again
	if size := len(next.body); next.changed && size > a.table.def.maxState && size >= base.size {
		next.err = fmt.Errorf("%v: %w: its state would have %d bytes, the limit of its type is %d", a.key(), ErrTooLarge, size, a.table.def.maxState)
		return next
	}
	if o.outcome, next.err = o.reply(append(o.few[:0], oneResult...)); next.err != nil {
		next.err = fmt.Errorf("%v: what %s returned cannot be encoded: %w", a.key(), o.name(), next.err)
	}
	return next
}

// failed is what came of a run that changes nothing. If that is to be durable the state is written as it was. It is not if another run may do better: then
// no run has come to anything yet.
func (a *activation) failed(o *op, base base, scratch []byte, cause error) applied {
	next := applied{body: scratch, err: cause}
	if mayPass(cause) && o.hasCalled() {
		next.err = unknown(a.key(), cause) // it is tried again: not all of what it calls was unavailable
	}
	if !o.Again || o.ctx.Err() != nil || mayPass(cause) {
		return next
	}
	o.outcome = appendError(nil, NewRemoteError(a.table.host.cross(cause)))
	body, err := a.encode(scratch, base.state)
	if err == nil {
		body, _, err = a.carry(body, nil, base.carried)
	}
	if next.durable = err == nil; next.durable {
		next.body = body
	}
	return next
}

// carry completes the encoded state with what this program does not know of the state that was sent, if it was, and of the one before.
func (a *activation) carry(body, sent, before []byte) (_ []byte, carries bool, err error) {
	shape := a.table.def.shape
	switch {
	case shape == nil || sent == nil && before == nil:
		return body, false, nil
	case before == nil:
		before = sent
	case sent != nil:
		if before, err = codec.Complete(nil, before, sent, shape); err != nil {
			return nil, false, err
		}
	}
	whole, err := codec.Carry(nil, before, body, shape)
	return whole, !bytes.Equal(whole, body), err
}

// exited is called when a method has ended its goroutine with runtime.Goexit, as testing's FailNow does:
// the call fails and another goroutine goes on.
func (a *activation) exited(o *op, next applied) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase == over {
		return
	}
	w := a.work
	a.ran(w, o, next)
	if a.mayRun(w) || w.mayPut() {
		w.workers--
		a.help()
	} else {
		a.rest(w)
	}
}

func (a *activation) encode(dst []byte, state any) ([]byte, error) {
	body, err := a.table.def.encode(dst, state)
	if err != nil {
		return nil, fmt.Errorf("%v: its state cannot be encoded: %w", a.key(), err)
	}
	return body, nil
}

// rewind undoes what has run since the committed state: ops that had an answer to wait for run again. mu is held.
func (a *activation) rewind(w *work) {
	w.requeue(slices.Concat(w.batch, w.ran)...)
	w.batch, w.ran = nil, nil
	w.redo = w.running != nil
	w.dirty = false
	w.start(a)
}
