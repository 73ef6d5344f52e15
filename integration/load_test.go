package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
)

const clients = 32

// A load is clients that add to counters through random nodes, and what they know of the counters.
type load struct {
	t     *testing.T
	ids   []string
	nodes []*entrance
	pause time.Duration // of each client after an add

	ctx     context.Context
	end     context.CancelFunc
	working sync.WaitGroup

	mu          sync.Mutex
	tallies     map[string]*tally
	waits       []time.Duration // from the first attempt of each add until it was acknowledged
	refused     int
	repeated    int   // attempts that were made again, since it was not known what had become of them
	lastUnknown error // of an add
}

// An entrance is a node that clients call, unless it is closed to them.
type entrance struct {
	*node
	open sync.RWMutex // read-locked by each client that calls; locked while the node is closed to them
}

// A tally is what clients know of a counter: it is at least sum, and at most sum and doubt together.
type tally struct {
	sum   int64 // of what was acknowledged
	doubt int64 // of adds that may or may not have happened
	lost  int   // how many those are
}

// startLoad has clients add to n counters until stop.
func startLoad(t *testing.T, nodes []*node, n int) *load {
	t.Helper()
	return startPacedLoad(t, nodes, n, clients, 0)
}

// startPacedLoad has so many clients add to n counters until stop, each of which pauses after each add.
func startPacedLoad(t *testing.T, nodes []*node, n, clients int, pause time.Duration) *load {
	t.Helper()
	l := &load{t: t, pause: pause, tallies: make(map[string]*tally)}
	l.ctx, l.end = context.WithCancel(context.Background())
	for i := range n {
		id := fmt.Sprint("counter", i)
		l.ids, l.tallies[id] = append(l.ids, id), new(tally)
	}
	for _, n := range nodes {
		l.nodes = append(l.nodes, &entrance{node: n})
	}
	for range clients {
		l.working.Go(l.work)
	}
	t.Cleanup(l.stop)
	return l
}

// stop returns when all clients have had their answers.
func (l *load) stop() {
	l.end()
	l.working.Wait()
}

// patience is how long a client goes on with an add that it does not know the outcome of.
const patience = 30 * time.Second

// work is one client. An add that was refused, or of which it is not known whether it has happened, is made again, somewhere else, under the same key.
func (l *load) work() {
	for l.ctx.Err() == nil {
		key, id, delta, began := uuid.NewString(), l.ids[rand.N(len(l.ids))], 1+rand.Int64N(3), time.Now()
		var doubt error
		for {
			done, unknown := l.add(key, id, delta, began, doubt != nil)
			if unknown != nil {
				doubt = unknown
			}
			if done || doubt == nil && l.ctx.Err() != nil {
				break
			}
			if time.Since(began) > patience && doubt != nil {
				l.mu.Lock()
				l.tallies[id].doubt += delta
				l.tallies[id].lost++
				l.lastUnknown = doubt
				l.mu.Unlock()
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(l.pause)
	}
}

// add makes one attempt: it has succeeded, or surely has not happened, or it is unknown whether it has.
func (l *load) add(key, id string, delta int64, began time.Time, again bool) (done bool, unknown error) {
	node := l.nodes[rand.N(len(l.nodes))]
	if !node.open.TryRLock() {
		return false, nil
	}
	defer node.open.RUnlock()
	l.mu.Lock()
	before := l.tallies[id].sum
	l.mu.Unlock()
	value, err := counter(context.Background(), key, http.MethodPost, node.URL()+"/counters/"+id+"/add", fmt.Sprintf(`{"delta":%d}`, delta))

	l.mu.Lock()
	defer l.mu.Unlock()
	var answered *statusError
	switch {
	case err == nil:
		if value < delta || value < before+delta && !again {
			l.t.Errorf("%s: %d was added and %d answered, when %d were acknowledged already", id, delta, value, before)
		}
		l.tallies[id].sum += delta
		l.waits = append(l.waits, time.Since(began))
		return true, nil
	case errors.As(err, &answered) && answered.status == http.StatusServiceUnavailable, errors.Is(err, syscall.ECONNREFUSED):
		l.refused++
		return false, nil
	case errors.As(err, &answered) && answered.status != http.StatusGatewayTimeout:
		l.t.Errorf("%s: %v", id, err)
	}
	l.repeated++
	return false, err
}

// acked is how many adds have been acknowledged.
func (l *load) acked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waits)
}

// progress waits until so many more adds have been acknowledged.
func (l *load) progress(adds int) {
	l.t.Helper()
	from := l.acked()
	eventually(l.t, time.Minute, "there is progress", func() error {
		if n := l.acked() - from; n < adds {
			return fmt.Errorf("%d of %d adds", n, adds)
		}
		return nil
	})
}

// unknown is how many adds nobody knows the outcome of.
func (l *load) unknown() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.tallies {
		n += t.lost
	}
	return n
}

// check stops the load, compares all counters with what the clients know, and reports how they fared.
func (l *load) check() {
	l.t.Helper()
	l.stop()
	for _, id := range l.ids {
		var value int64
		eventually(l.t, time.Minute, id+" answers", func() (err error) {
			value, err = l.nodes[0].tryValue(id)
			return err
		})
		if t := l.tallies[id]; value < t.sum || value > t.sum+t.doubt {
			l.t.Errorf("%s is %d; acknowledged: %d, unknown: %d", id, value, t.sum, t.doubt)
		}
	}
	if l.lastUnknown != nil {
		l.t.Errorf("%d adds are unknown although they were tried for %v; the last one : %v", l.unknown(), patience, l.lastUnknown)
	}
	slices.Sort(l.waits)
	if n := len(l.waits); n > 0 {
		l.t.Logf("%d adds acknowledged, %d unknown, %d attempts refused, %d without an answer; from first attempt to acknowledgement: half within %v, 99%% within %v, longest %v",
			n, l.unknown(), l.refused, l.repeated, l.waits[n/2], l.waits[n*99/100], l.waits[n-1])
	}
}

// closed calls do while no client calls the node.
func (e *entrance) closed(do func()) {
	e.open.Lock()
	defer e.open.Unlock()
	do()
}

// busiest returns the node that owns most of the counters.
func (l *load) busiest() *entrance {
	l.t.Helper()
	owned := make(map[string]int)
	for _, id := range l.ids {
		for _, n := range l.nodes {
			if owner, err := n.where(id); err == nil && owner.Live {
				owned[owner.Node]++
				break
			}
		}
	}
	return slices.MaxFunc(l.nodes, func(a, b *entrance) int { return owned[a.name] - owned[b.name] })
}
