package supervisor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// An instance is one run of a child: one goroutine, which writes the fields and then closes the channel that publishes
// them. Whoever holds the instance polls or waits for the channels.
type instance struct {
	cancel context.CancelFunc

	up   chan struct{} // closed when the child says ready
	upAt time.Time

	done    chan struct{} // closed when the child has returned
	endedAt time.Time
	err     error
}

// start runs child on a goroutine of its own. changed is called after either channel is closed; it must not block.
func start(ctx context.Context, child Child, changed func()) *instance {
	ctx, cancel := context.WithCancel(ctx)
	in := &instance{cancel: cancel, up: make(chan struct{}), done: make(chan struct{})}
	ready := sync.OnceFunc(func() {
		in.upAt = time.Now()
		close(in.up)
		changed()
	})
	go func() {
		defer changed()
		defer close(in.done)
		in.run(ctx, child, ready)
	}()
	return in
}

// run sets err to what Run returned, or to its panic or Goexit: of the three only the first gets past the call.
func (in *instance) run(ctx context.Context, child Child, ready func()) {
	returned := false
	defer func() {
		in.endedAt = time.Now()
		if returned {
			return
		}
		if v := recover(); v != nil {
			in.err = &PanicError{Value: v, Stack: debug.Stack()}
		} else {
			in.err = ErrGoexit
		}
	}()
	in.err = child.Run(ctx, ready)
	returned = true
}

// stop ends the instance's context and waits for it to return. The error is ErrNotStopped when it did not return in time;
// otherwise the instance's own, unless it only says that it was stopped.
func (in *instance) stop(child Child) error {
	in.cancel()
	var limit <-chan time.Time
	if child.StopTimeout >= 0 {
		timer := time.NewTimer(child.StopTimeout)
		defer timer.Stop()
		limit = timer.C
	}
	select {
	case <-in.done:
	case <-limit:
		return fmt.Errorf("child %q has not returned %v after its context ended: %w; "+
			"make its Run return when the context ends, or raise StopTimeout", child.Name, child.StopTimeout, ErrNotStopped)
	}
	if in.err == nil || errors.Is(in.err, context.Canceled) && !errors.Is(in.err, ErrNotStopped) {
		return nil
	}
	return fmt.Errorf("stop child %q: %w", child.Name, in.err)
}

// wasUpFor reports whether an instance that has ended had been up for at least d.
func (in *instance) wasUpFor(d time.Duration) bool {
	return closed(in.up) && in.endedAt.Sub(in.upAt) >= d
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
