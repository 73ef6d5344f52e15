package memregistry_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
)

func benchSession(tb testing.TB) object.Session {
	r := memregistry.New(memregistry.Options{})
	tb.Cleanup(func() { r.Close() })
	s, err := r.Join(context.Background(), object.Member{Incarnation: uuid.New(), Name: "a"})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func benchKeys(n int) []object.Key {
	keys := make([]object.Key, n)
	for i := range keys {
		keys[i] = object.Key{Type: "list", ID: fmt.Sprintf("list-%08d", i)}
	}
	return keys
}

func claimAll(tb testing.TB, s object.Session, keys []object.Key) {
	for _, key := range keys {
		if _, err := s.Claim(context.Background(), key); err != nil {
			tb.Fatal(err)
		}
	}
}

// What a claim costs besides the bytes of its key: a map entry and one small struct.
func TestClaimIsSmall(t *testing.T) {
	const claims, most = 100_000, 150
	s, keys := benchSession(t), benchKeys(claims)
	if got := bytesPerClaim(t, s, keys); got > most {
		t.Errorf("a claim takes %d bytes; want %d at most", got, most)
	}
}

func bytesPerClaim(tb testing.TB, s object.Session, keys []object.Key) int64 {
	before := heap()
	claimAll(tb, s, keys)
	after := heap()
	runtime.KeepAlive(s)
	runtime.KeepAlive(keys)
	return (after - before) / int64(len(keys))
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkClaimMemory(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			keys := benchKeys(n)
			for b.Loop() {
				b.ReportMetric(float64(bytesPerClaim(b, benchSession(b), keys)), "B/claim")
			}
		})
	}
}

// A claim and its release, beside 100,000 other claims.
func BenchmarkClaimRelease(b *testing.B) {
	s := benchSession(b)
	keys := benchKeys(200_000)
	claimAll(b, s, keys[:100_000])
	ctx := context.Background()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c, err := s.Claim(ctx, keys[100_000+i%100_000])
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Release(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClaimReleaseParallel(b *testing.B) {
	s := benchSession(b)
	keys := benchKeys(64 * 1000)
	var goroutines atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		mine := keys[(goroutines.Add(1)-1)*1000%64_000:][:1000]
		for i := 0; pb.Next(); i++ {
			c, err := s.Claim(context.Background(), mine[i%len(mine)])
			if err != nil {
				b.Error(err)
				return
			}
			c.Release(context.Background())
		}
	})
}
