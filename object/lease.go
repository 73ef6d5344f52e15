package object

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A Lease says how long a session's objects may be answered from memory without asking anyone. The
// registry that made the session renews and ends it; the host asks it before each answer.
type Lease struct {
	clock   Clock
	length  time.Duration
	timeout time.Duration

	validUntil atomic.Int64 // a clock time; 0 before the first renewal and after the end

	mu      sync.Mutex
	changed watch         // for the next renewal, or the end
	sentAt  time.Duration // of the last acknowledged renewal
	err     error         // why the session ended
	done    chan struct{}
}

// NewLease returns a lease that is not yet valid. length is L, how long an acknowledged renewal is good for;
// timeout is T: after so long without one, calls are told that the object is unavailable.
func NewLease(clock Clock, length, timeout time.Duration) *Lease {
	return &Lease{clock: clock, length: length, timeout: timeout, sentAt: clock(), done: make(chan struct{})}
}

// Renewed records that the registry has acknowledged a renewal. sent is the clock's time from before the
// renewal was sent: the lease counts from there, since the registry may have taken it as early as that. A
// renewal sent before the last acknowledged one, or before the lease was made, is ignored.
func (l *Lease) Renewed(sent time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil || sent < l.sentAt {
		return
	}
	l.sentAt = sent
	l.validUntil.Store(int64(sent + l.length))
	l.changed.wake()
}

// End ends the session for good: the registry says that it is over. Only the first cause counts.
func (l *Lease) End(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err = cause
	l.validUntil.Store(0)
	l.changed.wake()
	close(l.done)
}

// Valid tells whether what was sampled before this call may be answered.
func (l *Lease) Valid() bool { return int64(l.clock()) < l.validUntil.Load() }

// Done is closed when the session has ended.
func (l *Lease) Done() <-chan struct{} { return l.done }

// Err says why the session ended, nil while it has not.
func (l *Lease) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Clock is the clock by which the lease counts.
func (l *Lease) Clock() Clock { return l.clock }

// Wait returns nil when the lease is valid. It waits for a renewal until ctx ends, the session ends, or
// a session timeout has passed since the last one; then the error matches [ErrUnavailable].
func (l *Lease) Wait(ctx context.Context) error { return l.wait(ctx, true) }

// waitToTheEnd is Wait for the answer to a write that is durable: it gives up only when the session or ctx ends.
func (l *Lease) waitToTheEnd(ctx context.Context) error { return l.wait(ctx, false) }

func (l *Lease) wait(ctx context.Context, impatient bool) error {
	for {
		verdict, left, changed, err := l.look()
		switch verdict {
		case answerNow:
			return nil
		case answerEnded:
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		case answerUnavailable:
			if impatient {
				return errNoRenewal
			}
			left = l.timeout
		}
		timer := time.NewTimer(left)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: the node's lease has lapsed: %w", ErrUnavailable, ended(ctx))
		}
		timer.Stop()
	}
}

var errNoRenewal = fmt.Errorf("%w: the registry has not renewed the node's lease for a session timeout", ErrUnavailable)

// look decides over an answer now; left is how long until the decision may change by time alone.
func (l *Lease) look() (verdict answer, left time.Duration, changed <-chan struct{}, err error) {
	now := l.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	unavailableAt := l.sentAt + l.timeout
	verdict = mayAnswer(now, time.Duration(l.validUntil.Load()), unavailableAt, l.err != nil)
	return verdict, unavailableAt - now, l.changed.wait(), l.err
}

// sleepUntil returns nil once the clock shows at. It asks the clock again after each sleep, for timers
// stand still while the machine is suspended and the clock may not.
func sleepUntil(ctx context.Context, clock Clock, at time.Duration) error {
	for left := at - clock(); left > 0; left = at - clock() {
		if err := sleep(ctx, left); err != nil {
			return err
		}
	}
	return nil
}

// A watch wakes those who wait for a change of something that a lock guards; so it does the watch.
type watch chan struct{}

func (w *watch) wait() <-chan struct{} {
	if *w == nil {
		*w = make(watch)
	}
	return *w
}

func (w *watch) wake() {
	if *w != nil {
		close(*w)
		*w = nil
	}
}
