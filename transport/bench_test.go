package transport

import (
	"sync"
	"testing"
)

func benchPair(b testing.TB) (call func() error) {
	to := listen(b, open(b, Config{Handler: echo}))
	client := open(b, Config{})
	r := ask("0123456789abcdef0123456789abcdef")
	return func() error {
		_, err := client.Call(b.Context(), to, r)
		return err
	}
}

// One call after the other.
func BenchmarkPingPong(b *testing.B) {
	call := benchPair(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := call(); err != nil {
			b.Fatal(err)
		}
	}
}

// 256 callers that each make one call after the other, on one connection.
func BenchmarkCallers256(b *testing.B) {
	call := benchPair(b)
	if err := call(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var callers sync.WaitGroup
	for i := range 256 {
		callers.Go(func() {
			for range b.N/256 + min(1, max(0, b.N%256-i)) {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	callers.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// A call whose context can end but has no deadline, its server included: the goroutine that handles it, the request, its
// id, its frame, its context (3), and the reply at the caller.
func TestAllocations(t *testing.T) {
	const most = 7
	call := benchPair(t)
	if err := call(); err != nil {
		t.Fatal(err)
	}
	got := testing.AllocsPerRun(2000, func() {
		if err := call(); err != nil {
			t.Error(err)
		}
	})
	if raceDetector {
		t.Logf("%v allocations; not held to %v, for pools lose things on purpose under the race detector", got, most)
	} else if got > most {
		t.Errorf("%v allocations for a call and its handling, at most %v", got, most)
	}
}
