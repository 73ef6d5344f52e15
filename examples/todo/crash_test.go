package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	clients        = 32
	sharedCounters = 8
)

// killRounds is how many times the process is killed: 200, with go test -short 20, and with TODO_KILL_ROUNDS=n in the
// environment n.
func killRounds(t *testing.T) int {
	t.Helper()
	set := os.Getenv("TODO_KILL_ROUNDS")
	switch {
	case set == "" && testing.Short():
		return 20
	case set == "":
		return 200
	}
	n, err := strconv.Atoi(set)
	if err != nil || n < 1 {
		t.Fatalf("TODO_KILL_ROUNDS=%q: give a number of rounds", set)
	}
	return n
}

// Whatever was acknowledged, or was read, before kill -9 is there after it; nothing is there that nobody has asked for.
func TestKilledProcessLosesNothingAcknowledged(t *testing.T) {
	dir, book := t.TempDir(), newLedger()
	acked, unknown, early := 0, 0, 0
	began := time.Now()
	rounds := killRounds(t)
	for round := range rounds {
		args := []string{"-idle", "10m"}
		if round%2 == 1 { // objects come and go all the time
			args = []string{"-idle", "1ms"}
		}
		if round%8 == 7 { // somewhere in its start
			p := launch(t, dir, args...)
			time.Sleep(rand.N(50 * time.Millisecond)) // picks the moment, and waits for nothing
			p.kill()
			early++
		}
		p := start(t, dir, args...)
		book.check(t, p.url)
		a, u := book.load(t, p.url, 1+rand.Int64N(200), p.kill)
		acked, unknown = acked+a, unknown+u
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	p := start(t, dir)
	book.check(t, p.url)
	p.stop()
	if names := leftovers(t, dir); len(names) > 0 {
		t.Errorf("%d rounds have left files in the store that are no records: %q", rounds, names)
	}
	t.Logf("%d kills under load and %d while starting: %d adds acknowledged, %d unknown, in %v", rounds, early, acked, unknown, time.Since(began).Round(time.Millisecond))
}

// A drain under load exits with 0, and what was answered with 200 until then is there afterwards.
func TestDrainUnderLoadLosesNothingAcknowledged(t *testing.T) {
	dir, book := t.TempDir(), newLedger()
	for range 10 {
		p := start(t, dir)
		book.check(t, p.url)
		book.load(t, p.url, 1+rand.Int64N(300), p.stop)
	}
	p := start(t, dir)
	book.check(t, p.url)
	p.stop()
}

// A ledger is what the clients know of their counters. The value of each, in the store too, is from now on at least
// its floor, and at most its sum and all that is in doubt.
type ledger struct {
	mu      sync.Mutex
	entries map[string]*entry
}

type entry struct {
	sum   int64 // at the last check, and what has been acknowledged since
	doubt int64 // the sum of the adds that may or may not have happened
	floor int64 // the highest value that anybody has been told
}

func newLedger() *ledger {
	l := &ledger{entries: make(map[string]*entry)}
	for i := range sharedCounters {
		l.entries[fmt.Sprintf("shared%d", i)] = new(entry)
	}
	for i := range clients {
		l.entries[fmt.Sprintf("own%d", i)] = new(entry)
	}
	return l
}

// check reads all counters, and settles what was in doubt.
func (l *ledger) check(t *testing.T, base string) {
	t.Helper()
	for id, e := range l.entries {
		value := valueOf(t, base, id)
		if value < e.sum || value > e.sum+e.doubt || value < e.floor {
			t.Errorf("counter %s is %d; acknowledged: %d, in doubt: %d, answered before: %d", id, value, e.sum, e.doubt, e.floor)
		}
		*e = entry{sum: value, floor: value}
	}
}

// load has clients add to the counters, calls stop after so many acknowledgements, and returns when all clients
// have found that the service is gone.
func (l *ledger) load(t *testing.T, base string, acks int64, stop func()) (acked, unknown int) {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	var (
		working        sync.WaitGroup
		nAcked, nDoubt atomic.Int64
		enough         = make(chan struct{})
		once           sync.Once
	)
	for i := range clients {
		working.Go(func() {
			own := fmt.Sprintf("own%d", i)
			for {
				id := own
				if rand.N(2) == 0 {
					id = fmt.Sprintf("shared%d", rand.N(sharedCounters))
				}
				switch l.add(t, transport, base, id, id == own) {
				case added:
					if nAcked.Add(1) >= acks {
						once.Do(func() { close(enough) })
					}
				case doubtful:
					nDoubt.Add(1)
					once.Do(func() { close(enough) })
					return // the service is gone
				}
			}
		})
	}
	<-enough
	stop()
	working.Wait()
	return int(nAcked.Load()), int(nDoubt.Load())
}

type outcome int

const (
	added    outcome = iota
	refused          // it surely has not happened
	doubtful         // it may or may not have
)

// add adds to a counter and books what is known of it. Nobody else adds to one that is own.
func (l *ledger) add(t *testing.T, transport http.RoundTripper, base, id string, own bool) outcome {
	delta := 1 + rand.Int64N(3)
	l.mu.Lock()
	e := l.entries[id]
	before, floor := e.sum, e.floor // all that the answer must include
	l.mu.Unlock()

	status, value, err := post(transport, base+"/counters/"+id+"/add", delta)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil && status == http.StatusOK:
		if value < floor+delta || value < before+delta || own && value != before+delta {
			t.Errorf("counter %s: %d was added and %d answered; before that %d were acknowledged and %d answered", id, delta, value, before, floor)
		}
		e.sum += delta
		e.floor = max(e.floor, value)
		return added
	case err == nil && status == http.StatusServiceUnavailable:
		return refused
	case err == nil && status != http.StatusGatewayTimeout:
		t.Errorf("counter %s: status %d", id, status)
	}
	e.doubt += delta
	return doubtful
}

func post(transport http.RoundTripper, url string, delta int64) (status int, value int64, err error) {
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(fmt.Sprintf(`{"delta":%d}`, delta)))
	if err != nil {
		return 0, 0, err
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return response.StatusCode, 0, err
	}
	var c counterJSON
	err = json.Unmarshal(body, &c)
	return response.StatusCode, c.Value, err
}
