package zkregistry

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/highlander-go/highlander/object"
)

// bootClock is CLOCK_BOOTTIME: the time since boot, sleep included. Asking the kernel for it takes a system call, several times what
// a read from memory takes, so it is asked only when needed: Go's own clock (CLOCK_MONOTONIC) stands still while the machine sleeps and the wall clock
// goes on, and time.Now gives both. While they keep their distance the machine has not slept. The distance also changes when somebody sets
// the wall clock; then asking the kernel was needless.
func bootClock() object.Clock {
	start := time.Now()
	var last atomic.Pointer[reading]
	return func() time.Duration {
		now := time.Now()
		sinceStart := now.Sub(start) // by the monotonic clock
		distance := now.Round(0).Sub(start.Round(0)) - sinceStart
		r := last.Load()
		if r == nil || distance-r.distance > tolerance || r.distance-distance > tolerance {
			r = &reading{distance, bootTime() - time.Since(start)}
			last.Store(r)
		}
		return sinceStart + r.offset
	}
}

// A reading is what was found when the kernel was asked.
type reading struct {
	distance time.Duration // between the wall clock and the monotonic one, since the start
	offset   time.Duration // of boot time to the monotonic time since the start
}

// tolerance is how much sleep can go unnoticed: it is within what the takeover wait adds to a lease.
const tolerance = 10 * time.Millisecond

func bootTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("CLOCK_BOOTTIME: " + err.Error()) // since Linux 2.6.39
	}
	return time.Duration(t.Nano())
}
