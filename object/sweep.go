package object

import (
	"context"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// sweep releases idle objects until ctx or the session ends. Of several servings the first one does it for all.
func (s *serving) sweep(ctx context.Context) {
	every := sweepEvery(s.host.tables)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.lease.Done():
			return
		case <-ticker.C:
		}
		if all := s.host.current(); len(all) == 0 || all[0] != s {
			continue
		}
		now, short := s.host.sweeps.Add(1), memoryIsShort()
		idle := s.host.pick(func(a *activation) bool {
			unused := now - a.used.Load()
			return unused >= a.table.def.idleSweeps(every, short) && (short || !a.mayBeAsked())
		})
		release(ctx, idle, true)
	}
}

// mayBeAsked tells whether the object is deleted, and its tombstone keeps what somebody may still ask for: when the object is let go the tombstone may go, too.
func (a *activation) mayBeAsked() bool {
	h := a.table.host
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.version > 0 && !a.exists && len(a.requests) > 0 && h.sweeps.Load()-a.used.Load() < h.keepSweeps
}

// idleSweeps is how many sweeps an object outlasts without being used.
func (d *definition) idleSweeps(every time.Duration, short bool) uint32 {
	// One more sweep than fits in the idle time, as the object may have been used right before a sweep.
	limit := uint32(min((d.idle+every-1)/every+1, math.MaxUint32))
	if d.idle < 0 {
		limit = math.MaxUint32
	}
	if short {
		limit = min(limit, 2)
	}
	return limit
}

// sweepEvery is an eighth of the shortest idle time, 1 ms to 1 min.
func sweepEvery(tables []*table) time.Duration {
	every := 8 * time.Minute
	for _, t := range tables {
		if t.def.idle > 0 {
			every = min(every, t.def.idle)
		}
	}
	return max(every/8, time.Millisecond)
}

// memoryIsShort tells whether the process uses more than nine tenths of its memory limit (GOMEMLIMIT). A
// process without one is never short.
func memoryIsShort() bool {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return false
	}
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()-s[1].Value.Uint64() > uint64(limit)/10*9
}

// release lets go of the objects, a bounded number at a time, and waits until they are gone.
func release(ctx context.Context, all []*activation, onlyIdle bool) {
	var group sync.WaitGroup
	next := make(chan *activation)
	for range min(len(all), 256) {
		group.Go(func() {
			for a := range next {
				a.release(ctx, onlyIdle)
			}
		})
	}
feed:
	for _, a := range all {
		select {
		case next <- a:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	group.Wait()
}
