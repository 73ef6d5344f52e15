//go:build !linux

package zkregistry

import (
	"time"

	"github.com/highlander-go/highlander/object"
)

// bootClock is Go's monotonic clock. On systems where that stands still while the machine sleeps, a node that has slept may answer a call
// from memory before it learns that its objects have another owner.
func bootClock() object.Clock {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}
