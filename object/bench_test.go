package object_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
)

// Benchmarks of the paths that nearly all calls take, each beside its floor: the least that a program would
// write by hand to do the same without any promise. Compare the figures of one run.

type benchList struct {
	Title string
	Todos []string
}

var openCount = object.Read("Open", func(_ context.Context, l *benchList, _ object.None) (int, error) { return len(l.Todos), nil })

// Open is a method as a user writes it.
func (l benchList) Open(context.Context) (int, error) { return len(l.Todos), nil }

// open calls it as generated code does.
func open(ctx context.Context, r object.Ref[benchList]) (n int, err error) {
	var reading object.Reading
	if l := r.Read(ctx, &reading, "Open"); l != nil {
		defer reading.End(&err)
		return l.Open(&reading)
	}
	return openCount.Call(ctx, r, object.None{})
}

var benchLists = &object.Type[benchList]{Name: "list", Methods: []object.Method[benchList]{openCount}}

// benchHost serves counters and lists from memory.
func benchHost(b testing.TB) *object.Host {
	registry := memregistry.New(memregistry.Options{})
	h, err := object.NewHost(object.HostConfig{Node: "bench", Registry: registry, Committer: persist.NewRecords(persist.NewMemory())}, counters, benchLists)
	if err != nil {
		b.Fatal(err)
	}
	s, err := registry.Join(b.Context(), object.Member{Incarnation: uuid.New()})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); h.Serve(ctx, s, nil) }()
	b.Cleanup(func() { stop(); <-done; registry.Close() })
	return h
}

const benchObjects = 1000

func benchIDs() []string {
	ids := make([]string, benchObjects)
	for i := range ids {
		ids[i] = fmt.Sprintf("%08d-0000-4000-8000-000000000000", i)
	}
	return ids
}

func BenchmarkRead(b *testing.B) {
	ids := benchIDs()
	b.Run("floor", func(b *testing.B) {
		var mu sync.Mutex
		m := make(map[object.Key]*benchList)
		for _, id := range ids {
			m[object.Key{Type: "list", ID: id}] = &benchList{Todos: make([]string, 100)}
		}
		n := 0
		for i := 0; b.Loop(); i++ {
			mu.Lock()
			l := m[object.Key{Type: "list", ID: ids[i%benchObjects]}]
			mu.Unlock()
			n += len(l.Todos)
		}
	})
	ctx := b.Context()
	lists := benchLists.On(benchHost(b))
	for _, id := range ids {
		if err := lists.Put(ctx, id, benchList{Title: id, Todos: make([]string, 100)}); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("view", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		for i := 0; b.Loop(); i++ {
			l, err := lists.View(ctx, ids[i%benchObjects])
			if err != nil {
				b.Fatal(err)
			}
			n += len(l.Todos)
		}
	})
	b.Run("method", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := openCount.Call(ctx, lists.Ref(ids[i%benchObjects]), object.None{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("reading", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := open(ctx, lists.Ref(ids[i%benchObjects])); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(p *testing.PB) {
			for i := 0; p.Next(); i++ {
				lists.View(ctx, ids[i%benchObjects])
			}
		})
	})
}

// queued is the update's floor: an object with a queue and a goroutine on demand, in memory only.
type queued struct {
	mu     sync.Mutex
	queue  []*queuedAdd
	active bool
	value  int64
}

type queuedAdd struct {
	delta, value int64
	done         chan struct{}
}

func (q *queued) add(delta int64) int64 {
	a := &queuedAdd{delta: delta, done: make(chan struct{}, 1)}
	q.mu.Lock()
	q.queue = append(q.queue, a)
	if !q.active {
		q.active = true
		go q.run()
	}
	q.mu.Unlock()
	<-a.done
	return a.value
}

func (q *queued) run() {
	for {
		q.mu.Lock()
		if len(q.queue) == 0 {
			q.active = false
			q.mu.Unlock()
			return
		}
		a := q.queue[0]
		q.queue = q.queue[1:]
		q.mu.Unlock()
		q.value += a.delta
		a.value = q.value
		a.done <- struct{}{}
	}
}

func BenchmarkUpdate(b *testing.B) {
	for _, callers := range []int{1, 256} {
		name := strconv.Itoa(callers) + "callers/"
		b.Run(name+"floor", func(b *testing.B) {
			q := new(queued)
			b.ReportAllocs()
			spread(b, callers, func() { q.add(1) })
		})
		b.Run(name+"update", func(b *testing.B) {
			ctx, ref := b.Context(), counters.On(benchHost(b)).Ref("a")
			b.ReportAllocs()
			spread(b, callers, func() {
				if _, err := adding.Call(ctx, ref, 1); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// spread has so many callers share b.N calls.
func spread(b *testing.B, callers int, call func()) {
	var group sync.WaitGroup
	b.ResetTimer()
	for i := range callers {
		group.Go(func() {
			for n := i; n < b.N; n += callers {
				call()
			}
		})
	}
	group.Wait()
}

func BenchmarkFirstCall(b *testing.B) {
	ctx, c := b.Context(), counters.On(benchHost(b))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := c.View(ctx, strconv.Itoa(i)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIdleBytes reports what an idle object costs, at 100,000 objects that were never written.
func BenchmarkIdleBytes(b *testing.B) {
	for b.Loop() {
		b.ReportMetric(idleBytes(b, 100_000), "B/object")
	}
}

func idleBytes(t testing.TB, objects int) float64 {
	ctx, c := t.Context(), counters.On(benchHost(t))
	before := heap()
	for i := range objects {
		if _, err := c.View(ctx, fmt.Sprintf("%08d-0000-4000-8000-000000000000", i)); err != nil {
			t.Fatal(err)
		}
	}
	return float64(heap()-before) / float64(objects)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
