package supervisor

import (
	"slices"
	"time"
)

// intensity remembers the counted endings of the last window.
type intensity struct {
	max    int
	window time.Duration
	at     []time.Time
}

// add counts an ending at now. It returns how many lie within the window, and whether that is too many.
func (n *intensity) add(now time.Time) (count int, tooMany bool) {
	n.at = slices.DeleteFunc(n.at, func(t time.Time) bool { return now.Sub(t) > n.window })
	n.at = append(n.at, now)
	return len(n.at), len(n.at) > n.max
}

// backoff is the delay after a child's ending that follows on earlier ones, in [d/2, d) for d = base * 2^earlier up to
// limit. Half of it is fixed so that a failing child never spins; half is random so that nodes that lost the same service
// do not return to it together.
func backoff(base, limit time.Duration, earlier int, jitter float64) time.Duration {
	d := base
	for ; earlier > 0 && d < limit; earlier-- {
		d = min(limit-d, d) + d // 2d up to limit, without overflow
	}
	return d/2 + time.Duration(jitter*float64(d-d/2))
}
