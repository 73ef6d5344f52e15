package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// A tree is one call of Run. Only Run's goroutine touches it.
type tree struct {
	*Supervisor
	ctx       context.Context // Run's values without its end: children are stopped one by one, not all at once
	slots     []slot          // one for each of spec.Children
	intensity intensity

	// changed holds a token when an instance may have come up or ended. It says only "look again": what happened is
	// read from the instances, so nothing is lost or out of date when it happens in the middle of a start or a stop.
	changed chan struct{}
}

// A slot is a child's place in the tree.
type slot struct {
	*instance           // nil: not running, start it when due
	due       time.Time // not before
	started   bool      // at least once
	restarts  int
	endings   int // since it was last stable
}

// Run starts the children in order, calls ready when all are up for the first time, and keeps them running until ctx ends.
// Then it stops them in reverse order and returns nil if all stopped well.
//
// Otherwise its error holds [ErrTooManyRestarts], [ErrNotStopped], and what else children returned when they were stopped.
// In every case all goroutines that it started have returned, except those of children that it had to give up.
//
// ready may be nil; it is called on Run's goroutine. Each call is a tree of its own, so Run may be called again, or concurrently if the children's Run may.
func (s *Supervisor) Run(ctx context.Context, ready func()) (err error) {
	t := &tree{
		Supervisor: s,
		ctx:        context.WithoutCancel(ctx),
		slots:      make([]slot, len(s.spec.Children)),
		intensity:  intensity{max: s.spec.MaxRestarts, window: s.spec.Window},
		changed:    make(chan struct{}, 1),
	}
	// Deferred, so that a panic in Counts, Jitter or the logger leaves no child behind.
	defer func() { err = errors.Join(err, t.stop(0, len(t.slots))) }()
	return t.supervise(ctx, ready)
}

func (t *tree) supervise(ctx context.Context, ready func()) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		for i := range t.slots {
			if in := t.slots[i].instance; in != nil && closed(in.done) {
				if err := t.ended(i); err != nil {
					return err
				}
			}
		}
		if ctx.Err() != nil {
			break // it ended while others were stopped: start nothing
		}
		allUp, next := t.startDue(time.Now())
		if allUp && ready != nil {
			ready()
			ready = nil
		}
		var due <-chan time.Time
		if !next.IsZero() {
			timer.Reset(time.Until(next))
			due = timer.C
		}
		select {
		case <-ctx.Done():
		case <-t.changed:
		case <-due:
		}
	}
	return nil
}

// startDue starts the children that are due and may start. It reports whether all are up, and when the next is due (zero: none).
func (t *tree) startDue(now time.Time) (allUp bool, next time.Time) {
	allUp = true // of those before the i-th
	for i := range t.slots {
		s := &t.slots[i]
		mayStart := allUp || t.spec.Strategy == OneForOne && s.started
		switch {
		case s.instance != nil || !mayStart:
		case s.due.After(now):
			if next.IsZero() || s.due.Before(next) {
				next = s.due
			}
		default:
			t.log(slog.LevelDebug, i, "child starts", nil, 0)
			s.started = true
			s.instance = start(t.ctx, t.spec.Children[i], t.look)
		}
		allUp = allUp && s.instance != nil && closed(s.up)
	}
	return allUp, next
}

// look makes supervise look again. It never blocks.
func (t *tree) look() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// ended takes the i-th child, which has ended by itself, off the tree, stops those that the strategy names, and sets when
// they are due again. An error means that the supervisor cannot go on.
func (t *tree) ended(i int) error {
	s, name := &t.slots[i], t.spec.Children[i].Name
	err := s.err
	if err == nil {
		err = ErrReturned
	}
	t.release(i)
	if errors.Is(err, ErrNotStopped) { // below: its restart would run a second instance next to the one given up
		t.log(slog.LevelError, i, "supervisor gives up: a child below did not stop", err, 0)
		return fmt.Errorf("child %q: %w", name, err)
	}
	msg := "child ended, it is restarted"
	if !t.spec.Counts(err) {
		msg = "child ended, it is restarted and that does not count"
	} else if n, tooMany := t.intensity.add(time.Now()); tooMany {
		t.log(slog.LevelError, i, "supervisor gives up: too many restarts", err, 0)
		return fmt.Errorf("%w: children ended %d times within %v and %d are allowed (repair the cause, "+
			"or raise MaxRestarts); the last was child %q: %w",
			ErrTooManyRestarts, n, t.intensity.window, max(0, t.intensity.max), name, err)
	}
	delay := backoff(t.spec.Backoff, t.spec.MaxBackoff, s.endings, t.spec.Jitter())
	s.endings++
	s.restarts++
	t.log(slog.LevelWarn, i, msg, err, delay)

	first, end := i, len(t.slots)
	switch t.spec.Strategy {
	case OneForOne:
		end = i + 1
	case OneForAll:
		first = 0
	}
	if err := t.stop(first, end); errors.Is(err, ErrNotStopped) {
		return fmt.Errorf("restart of child %q: %w", name, err)
	}
	due := time.Now().Add(delay)
	for j := first; j < end; j++ {
		if due.After(t.slots[j].due) { // a sibling may have a longer delay of its own ahead
			t.slots[j].due = due
		}
	}
	return nil
}

// stop stops the running children of slots[first:end] in reverse order and returns what went wrong.
func (t *tree) stop(first, end int) error {
	var errs []error
	for i := end - 1; i >= first; i-- {
		s := &t.slots[i]
		if s.instance == nil {
			continue
		}
		err := s.stop(t.spec.Children[i])
		if err != nil {
			t.log(slog.LevelWarn, i, "child did not stop well", err, 0)
			errs = append(errs, err)
		}
		t.release(i)
	}
	return errors.Join(errs...)
}

// release empties the i-th slot, of an instance that has returned or was given up. The latter may yet write its fields.
func (t *tree) release(i int) {
	s := &t.slots[i]
	s.cancel()
	if closed(s.done) && s.wasUpFor(t.spec.StableAfter) {
		s.endings = 0
	}
	s.instance = nil
}

// log tells of the i-th child; an err of nil and a delay of 0 are left out. It builds nothing when the level is disabled.
func (t *tree) log(level slog.Level, i int, msg string, err error, delay time.Duration) {
	if !t.spec.Logger.Enabled(t.ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("child", t.spec.Children[i].Name), slog.Int("restarts", t.slots[i].restarts)}
	if delay > 0 {
		attrs = append(attrs, slog.Duration("delay", delay))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	t.spec.Logger.LogAttrs(t.ctx, level, msg, attrs...)
}
