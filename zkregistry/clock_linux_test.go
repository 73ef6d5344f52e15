package zkregistry

import (
	"testing"
	"time"
)

func TestTheClockIsTheKernels(t *testing.T) {
	clock := bootClock()
	for range 100 {
		before := bootTime()
		now := clock()
		after := bootTime()
		if now < before-tolerance || now > after+tolerance {
			t.Fatalf("%v is not between %v and %v", now, before, after)
		}
	}
}

func BenchmarkClock(b *testing.B) {
	clock := bootClock()
	b.Run("boot", func(b *testing.B) {
		for b.Loop() {
			clock()
		}
	})
	b.Run("kernel", func(b *testing.B) {
		for b.Loop() {
			bootTime()
		}
	})
	start := time.Now()
	b.Run("monotonic", func(b *testing.B) {
		for b.Loop() {
			time.Since(start)
		}
	})
}
