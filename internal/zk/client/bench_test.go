package client

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/internal/zk/zkserver"
)

// Creates of ephemeral nodes over one session, 64 in flight, and meanwhile a Set every 20 ms: how long it takes behind them.
func BenchmarkCreates(b *testing.B) {
	e, err := New(zkserver.Addrs(b), Options{})
	if err != nil {
		b.Fatal(err)
	}
	s, err := e.Open(b.Context(), 30*time.Second, func(zk.Event) {})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close(context.Background())
	dir := fmt.Sprintf("/bench-%d", time.Now().UnixNano())
	if _, err := s.Create(b.Context(), dir, nil, zk.Persistent); err != nil {
		b.Fatal(err)
	}
	var next atomic.Int64
	var creating, setting sync.WaitGroup
	done := make(chan struct{})
	var sum, most time.Duration
	var sets int
	b.ResetTimer()
	setting.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
			began := time.Now()
			if err := s.Set(b.Context(), dir, nil, zk.AnyVersion); err != nil {
				b.Error(err)
			}
			took := time.Since(began)
			sum, most, sets = sum+took, max(most, took), sets+1
		}
	})
	for range 64 {
		creating.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if _, err := s.Create(b.Context(), fmt.Sprintf("%s/%d", dir, i), []byte("0123456789abcdef"), zk.Ephemeral); err != nil {
					b.Error(err)
				}
			}
		})
	}
	creating.Wait()
	b.StopTimer()
	close(done)
	setting.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "creates/s")
	if sets > 0 {
		b.ReportMetric(float64(sum.Microseconds())/float64(sets), "µs/set")
		b.ReportMetric(float64(most.Microseconds()), "µs/slowest-set")
	}
}
