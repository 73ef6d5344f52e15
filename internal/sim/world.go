package sim

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"
)

// A world is the time of one run and what is going to happen in it. Whoever wants something of the models parks here; the scheduler lets
// one go on at a time, and waits until nothing moves before the next. When, is drawn from the seed and from who it is that waits for the
// how-manieth time for what: neither the order in which goroutines come here nor how many run at once makes a difference.
type world struct {
	*profile
	seed   uint64
	start  time.Time
	tracer *strings.Builder // nil: nobody wants to read it
	kick   chan struct{}    // capacity 1: there is a new earliest event
	timer  *time.Timer      // the scheduler's

	mu      sync.Mutex
	queue   queue
	counts  map[string]uint64 // occurrences, by id
	seen    map[string]int    // for the reader: how often what has happened
	actors  actors
	last    time.Duration // of the last event
	steps   int
	cluster *cluster
	healed  time.Duration // when the last trouble so far is over
	digest  uint64        // of all events so far
	said    []string      // by nodes' logs since the last event
	wrong   []string

	recovery time.Duration // after the last trouble, until the last object had answered
}

// An event is something that happens at its time. Those of a process wait while it is paused and are dropped when it is dead.
type event struct {
	at    time.Duration
	id    string
	n     uint64 // tells occurrences of one id apart
	owner *process
	do    func() // by the scheduler
	void  bool
}

type queue []*event

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(e any)   { *q = append(*q, e.(*event)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}
func (q queue) Less(i, j int) bool {
	a, b := q[i], q[j]
	if a.at != b.at {
		return a.at < b.at
	}
	if a.id != b.id {
		return a.id < b.id
	}
	return a.n < b.n
}

func newWorld(seed uint64, p *profile, trace bool) *world {
	w := &world{profile: p, seed: seed, start: time.Now(), kick: make(chan struct{}, 1), timer: time.NewTimer(0),
		counts: make(map[string]uint64), seen: make(map[string]int)}
	w.actors.init()
	if trace {
		w.tracer = new(strings.Builder)
	}
	return w
}

// now is the world's time, which no clock in it shows.
func (w *world) now() time.Duration { return time.Since(w.start) }

// draw returns the random numbers of the next occurrence of id.
func (w *world) draw(id string) (r rng, n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.drawn(id)
}

// drawn is draw for those who hold mu.
func (w *world) drawn(id string) (r rng, n uint64) {
	n = w.counts[id]
	w.counts[id] = n + 1
	return newRNG(w.seed, id, n), n
}

// after has do happen in d. owner is nil for what no process has a hand in.
func (w *world) after(owner *process, id string, n uint64, d time.Duration, do func()) *event {
	e := &event{at: w.now() + max(d, 0), id: id, n: n, owner: owner, do: do}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.push(e)
	return e
}

func (w *world) push(e *event) {
	heap.Push(&w.queue, e)
	if w.queue[0] == e {
		select {
		case w.kick <- struct{}{}:
		default:
		}
	}
}

// run is the scheduler. It returns when over is closed.
func (w *world) run(over <-chan struct{}) {
	for {
		synctest.Wait()
		select {
		case <-over:
			return
		default:
		}
		e, wait := w.next()
		if e != nil {
			w.happen(e)
			continue
		}
		w.timer.Reset(wait)
		select {
		case <-over:
		case <-w.kick:
		case <-w.timer.C:
		}
	}
}

// next takes the event out of the queue whose time has come, or says how long there is none. No two events happen at one time, so that
// what they start does not end at one time either.
func (w *world) next() (e *event, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	for len(w.queue) > 0 {
		e := w.queue[0]
		switch {
		case e.void || e.owner != nil && e.owner.dead:
			heap.Pop(&w.queue)
		case e.at > now:
			return nil, e.at - now
		case w.last == now:
			return nil, 1
		case e.owner != nil && e.owner.frozen > now:
			heap.Pop(&w.queue)
			r := newRNG(w.seed, e.id, e.n+1<<32)
			e.at = e.owner.frozen + r.upTo(2*time.Millisecond)
			heap.Push(&w.queue, e)
		default:
			heap.Pop(&w.queue)
			w.last = now
			w.steps++
			return e, 0
		}
	}
	return nil, time.Hour
}

func (w *world) happen(e *event) {
	w.mu.Lock()
	said := w.said
	w.said = nil
	w.mu.Unlock()
	slices.Sort(said)
	for _, s := range said {
		w.tracef("    %s", s)
	}
	w.digest = mix(w.digest ^ hash(e.id) ^ uint64(e.at) ^ e.n<<40)
	w.tracef("%s", e.id)
	e.do()
}

// tracef adds a line to the trace. Only the scheduler calls it, so that the lines have an order.
func (w *world) tracef(format string, args ...any) {
	if w.tracer != nil {
		fmt.Fprintf(w.tracer, "%12.6f  ", w.now().Seconds())
		fmt.Fprintf(w.tracer, format, args...)
		w.tracer.WriteByte('\n')
	}
}

// tracing tells whether it is worth while to find words.
func (w *world) tracing() bool { return w.tracer != nil }

// count counts something that has happened, so that the reader of a batch sees whether it was hard enough.
func (w *world) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[what]++
}

// heals notes that a trouble that has begun is over in d.
func (w *world) heals(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.healed = max(w.healed, w.now()+d)
}

// violated notes that something does not hold.
func (w *world) violated(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// A reply is what somebody waits for.
type reply[T any] struct {
	w       *world
	come    chan struct{}
	value   T
	err     error
	settled bool // guarded by the world's mu
	timeout *event
}

func newReply[T any](w *world) *reply[T] { return &reply[T]{w: w, come: make(chan struct{})} }

// settle gives the reply; only the first one counts.
func (r *reply[T]) settle(v T, err error) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if r.settled {
		return
	}
	r.settled, r.value, r.err = true, v, err
	if r.timeout != nil {
		r.timeout.void = true
	}
	close(r.come)
}

// await waits for the reply. What has come counts even if ctx has ended at the same time.
func (r *reply[T]) await(ctx context.Context) (T, error) {
	select {
	case <-r.come:
	case <-ctx.Done():
		r.settle(*new(T), ctx.Err())
	}
	return r.value, r.err
}

// pass is a gate: it returns when the scheduler lets the goroutine go on, after a while of the given kind. The error says that ctx has
// ended, or the process.
func (p *process) pass(ctx context.Context, what string, usual delay) error {
	p.enter(ctx, p.name+" "+p.w.actors.name()+" "+what, usual)
	if p.isDead() {
		return errDead
	}
	return ctx.Err()
}

// enter is pass for who has an id of its own. It returns the random numbers that are left for the occurrence.
func (p *process) enter(ctx context.Context, id string, usual delay) rng {
	w := p.w
	r, n := w.draw(id)
	if p.isDead() {
		return r
	}
	if w.calm() {
		usual.worst = 10 * usual.usual
	}
	d := r.delay(usual)
	r.next()
	p.mishap(r)
	gate := newReply[struct{}](w)
	p.parked(gate)
	w.after(p, id, n, d, func() { gate.settle(struct{}{}, nil) })
	gate.await(ctx)
	p.unparked(gate)
	return r
}

// errDead is what goroutines of a process get that exist no more.
var errDead = errors.New("the process is dead")
