package sim

import (
	"context"
	"sync"
	"time"
)

// A deadline is a context that the scheduler ends: not while its actor is parked at a clock. Else who waits for several things would find
// two of them there at once when it goes on, and choose at random, as a select statement does.
type deadline struct {
	context.Context // of values
	at              time.Time
	done            chan struct{}
	event           *event // that ends it; guarded by the world's mu

	mu    sync.Mutex
	err   error
	after map[*func()]bool
}

// deadline returns a context of who that ends in d, or when end is called.
func (w *world) deadline(p *process, who *actor, d time.Duration) *deadline {
	c := &deadline{Context: context.Background(), at: time.Now().Add(d), done: make(chan struct{}), after: make(map[*func()]bool)}
	w.endLater(p, who, c, d)
	p.parked(c)
	return c
}

// over ends the context when it is not needed any more.
func (c *deadline) over(p *process) {
	p.unparked(c)
	p.w.mu.Lock()
	c.event.void = true
	p.w.mu.Unlock()
	c.end(context.Canceled)
}

func (w *world) endLater(p *process, who *actor, c *deadline, d time.Duration) {
	id := who.name + " deadline"
	r, n := w.draw(id)
	e := w.after(p, id, n, d+r.upTo(time.Millisecond), func() {
		w.mu.Lock()
		busy := who.reading
		w.mu.Unlock()
		if busy {
			w.endLater(p, who, c, 0)
		} else {
			c.end(context.DeadlineExceeded)
		}
	})
	w.mu.Lock()
	c.event = e
	w.mu.Unlock()
}

// settle makes the context one of the things that a process waits for: it ends with it.
func (c *deadline) settle(struct{}, error) { c.end(context.Canceled) }

func (c *deadline) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	close(c.done)
	for f := range c.after {
		go (*f)()
	}
}

func (c *deadline) Deadline() (time.Time, bool) { return c.at, true }
func (c *deadline) Done() <-chan struct{}       { return c.done }

func (c *deadline) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc lets contexts that are made of this one do without a goroutine.
func (c *deadline) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	c.after[&f] = true
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, there := c.after[&f]
		delete(c.after, &f)
		return there && c.err == nil
	}
}
