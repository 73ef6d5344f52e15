package object

import (
	"context"
	"fmt"
	"runtime"
	"slices"
)

// An op is one call of an update on its way through an object.
type op struct {
	mutation
	ctx     context.Context // the caller's
	mode    PutMode
	deletes bool // it leaves a tombstone

	done    chan struct{} // capacity 1
	phase   opPhase       // guarded by the activation's mu, as are those below
	changed bool          // the run has changed the state
	gone    bool          // the caller was told that nobody knows: o need not run again
	err     error
	first   updateContext  // of the first run, here to save an allocation
	run     *updateContext // of the last run
}

type opPhase uint8

const (
	opQueued opPhase = iota
	opStarted
	opAnswered
)

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
	scratch []byte // a buffer for the next run
}

// do has the object run o and waits for the answer. errMoved says that o did not run here.
func (a *activation) do(ctx context.Context, o *op) error {
	if ctx.Err() != nil {
		return unavailable(a.key(), ended(ctx))
	}
	o.ctx, o.phase, o.changed = ctx, opQueued, false
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
		a.work = a.table.host.works.Get().(*work)
		a.work.start(a)
	}
	w := a.work
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
		return unavailable(a.key(), fmt.Errorf("the update was still waiting to be run: %w", ended(o.ctx)))
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
	w.state, w.digest, w.size, w.exists = a.committed.Load().state, a.digest, a.size, a.exists
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
		o.phase, o.changed = opQueued, false
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
	w.state, a.work = nil, nil
	a.table.host.works.Put(w)
	if a.phase == leaving {
		a.change.idle.set()
	}
}

// run runs the next update. mu is held, but not while the method runs.
func (a *activation) run(w *work) {
	o := w.take()
	w.running, o.phase = o, opStarted
	if o.mode.Conditional && o.mode.Version != a.version {
		a.ran(w, o, nil, fmt.Errorf("%v: %w: it is %d, not %d: read the object and try again", a.key(), ErrVersion, a.version, o.mode.Version))
		return
	}
	base, scratch := w.state, w.scratch
	if o.run == nil {
		o.run = &o.first
	} else {
		o.run = new(updateContext)
	}
	o.run.methodContext = methodContext{o.ctx, a.table, a.id}
	a.mu.Unlock()
	next, body, err := a.apply(o, base, scratch[:0])
	a.mu.Lock()
	if a.phase == over {
		return // the caller has been told
	}
	if body != nil {
		w.scratch = body
	}
	a.ran(w, o, next, err)
}

// ran records what came of the run of o. mu is held. The encoded state, if err is nil, is in w.scratch.
func (a *activation) ran(w *work, o *op, next any, err error) {
	w.running = nil
	if w.redo {
		w.redo = false
		w.requeue(o)
		return
	}
	o.err, o.changed = err, false
	if err == nil {
		d := digestOf(w.scratch)
		exists := !o.deletes && (w.exists || o.mode.Creates || d != w.digest)
		switch size := len(w.scratch); {
		case d == w.digest && exists == w.exists:
		case size > a.table.def.maxState && size >= w.size:
			o.err = fmt.Errorf("%v: %w: its state would have %d bytes, the limit of its type is %d", a.key(), ErrTooLarge, size, a.table.def.maxState)
		default:
			o.changed, w.dirty = true, true
			w.state, w.digest, w.size, w.exists = next, d, size, exists
			w.body, w.scratch = w.scratch, w.body
		}
	}
	w.ran = append(w.ran, o)
}

// apply runs o's method on a copy of base and encodes what comes out.
func (a *activation) apply(o *op, base any, scratch []byte) (next any, body []byte, err error) {
	returned := false
	defer func() {
		o.run.finish()
		if p := recover(); p != nil {
			err = o.run.panicked(o.name(), p)
		} else if !returned {
			a.exited(o)
		}
	}()
	if next, err = o.apply(o.run, base); err == nil {
		body, err = a.encode(scratch, next)
	}
	returned = true
	return next, body, err
}

// exited is called when a method has ended its goroutine with runtime.Goexit, as testing's FailNow does:
// the call fails and another goroutine goes on.
func (a *activation) exited(o *op) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase != over {
		a.ran(a.work, o, nil, fmt.Errorf("%v: %w: it called runtime.Goexit", a.key(), ErrPanic))
		a.work.workers--
		a.help()
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
