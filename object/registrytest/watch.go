package registrytest

import (
	"sync"
	"time"

	"github.com/highlander-go/highlander/object"
)

// A watch asks a lease again and again whether it is valid, as an owner does that answers from memory.
type watch struct {
	once    sync.Once
	stop    chan struct{}
	stopped sync.WaitGroup

	last time.Duration // clock time before the last look that found the lease valid
}

// watch begins to look at the session's lease. End it before the check returns.
func (s *scene) watch(session object.Session) *watch {
	w := &watch{stop: make(chan struct{})}
	lease := session.Lease()
	clock := lease.Clock()
	w.stopped.Go(func() {
		ticker := time.NewTicker(s.step())
		defer ticker.Stop()
		for {
			if now := clock(); lease.Valid() {
				w.last = now
			}
			select {
			case <-ticker.C:
			case <-w.stop:
				return
			}
		}
	})
	return w
}

// end stops the looking, once, and says when the lease was valid: a moment up to a step before the last one.
func (w *watch) end() (lastValid time.Duration) {
	w.once.Do(func() { close(w.stop) })
	w.stopped.Wait()
	return w.last
}

// endAt ends the watch when the clock shows at.
func (s *scene) endAt(at time.Duration, w *watch) (lastValid time.Duration) {
	s.Helper()
	s.soon("the clock goes on", func() bool { return s.clock() >= at })
	return w.end()
}
