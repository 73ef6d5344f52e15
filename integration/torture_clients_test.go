package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/highlandertest"
	"github.com/highlander-go/highlander/object"
)

const (
	cellsAtOnce    = 40
	clientsOfCell  = 3
	windowCalls    = 150               // of a cell, which are checked together
	windowsOfCell  = 5                 // of calls, since an object keeps what has come of each for ten minutes
	mostUnknown    = 4                 // of a cell: with many more there are too many ways to order the calls
	callLimit      = 100 * time.Second // longer than any fault
	attemptLimit   = 4 * time.Second
	pauseOfClients = 100 * time.Millisecond // on average
)

// A cellState is what a cell is.
type cellState struct {
	Count int64
	Word  string
}

// A cellCall is one call of a cell: it adds, or puts another word, or else reads.
type cellCall struct {
	Add  int64
	Word string
}

func (c cellCall) reads() bool { return c == cellCall{} }

// cellModel is a cell. A change of the word is answered with the state before it.
func cellModel(init cellState) highlandertest.Model[cellState, cellCall, cellState] {
	return highlandertest.Model[cellState, cellCall, cellState]{
		Init: init,
		Step: func(s cellState, c cellCall) (next, out cellState, err error) {
			next = cellState{s.Count + c.Add, s.Word}
			if c.Word == "" {
				return next, next, nil
			}
			return cellState{s.Count, c.Word}, s, nil
		},
	}
}

// A cellTally is what is known of a cell's count, and of its mirror's: it is at least sum, and at most sum and doubt together.
type cellTally struct {
	id           string
	cell, mirror sums
	unknown      int // calls
}

type sums struct{ sum, doubt int64 }

// mirrored is what the call adds to the cell's mirror.
func (c cellCall) mirrored() int64 {
	if c.Add%2 == 0 {
		return c.Add
	}
	return 0
}

// A cellLoad is clients that call cells, each cell by a few of them, and what they know. A cell's calls are checked in windows: after some calls its clients wait for
// each other and read it, and the next window begins with what they have read. A cell whose state is not known for sure is replaced by a new one.
type cellLoad struct {
	x       *torture
	urls    []string
	ctx     context.Context
	end     context.CancelFunc
	working sync.WaitGroup
	web     *http.Transport
	silent  sync.Map // URLs of nodes that have not answered, and when; they are left alone for a moment

	mu       sync.Mutex
	tallies  map[string]*cellTally
	current  map[string]string // cells that are called, and the nodes that have answered last for them
	acked    int
	attempts int
	unknown  int
	outages  map[*outage]bool
	hit      map[string]time.Time // cells one of whose requests to the store was hit, until they are written again
	gaps     []time.Duration
}

// An outage is what a fault does to cells: for how long at a stretch none of their calls succeeded.
type outage struct {
	at    time.Time
	cells map[string]*gap
}

type gap struct {
	last    time.Time // success, or at
	longest time.Duration
	closed  bool
}

// startCells has clients call cells until stop.
func startCells(x *torture) *cellLoad {
	l := &cellLoad{x: x, web: &http.Transport{MaxIdleConnsPerHost: 64}, tallies: make(map[string]*cellTally), current: make(map[string]string),
		outages: make(map[*outage]bool), hit: make(map[string]time.Time)}
	l.ctx, l.end = context.WithCancel(context.Background())
	for _, a := range x.apps {
		l.urls = append(l.urls, "http://"+a.Addr())
	}
	for range cellsAtOnce {
		l.working.Go(func() {
			for l.ctx.Err() == nil {
				l.cell()
			}
		})
	}
	x.Cleanup(l.web.CloseIdleConnections)
	x.Cleanup(l.stop)
	return l
}

// stop returns when all clients have had their answers, and all windows are checked.
func (l *cellLoad) stop() {
	l.end()
	l.working.Wait()
}

// cell is a cell's life: windows of calls.
func (l *cellLoad) cell() {
	t := &cellTally{id: uuid.NewString()}
	l.mu.Lock()
	l.tallies[t.id], l.current[t.id] = t, ""
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.current, t.id)
		delete(l.hit, t.id)
		for o := range l.outages {
			if g := o.cells[t.id]; g != nil {
				l.gaps = append(l.gaps, g.longest)
				delete(o.cells, t.id)
			}
		}
	}()
	for state, known, i := (cellState{}), true, 0; known && i < windowsOfCell && l.ctx.Err() == nil; i++ {
		state, known = l.window(t, state)
	}
}

// window has clients call a cell, reads it and checks all that. It returns the state that was read, and whether it is the cell's for sure.
func (l *cellLoad) window(t *cellTally, init cellState) (state cellState, known bool) {
	history, unknown := highlandertest.NewHistory(cellModel(init)), l.unknownOf(t)
	var clients sync.WaitGroup
	for client := range clientsOfCell {
		clients.Go(func() {
			for i := 0; i < windowCalls/clientsOfCell && l.unknownOf(t) < mostUnknown && l.ctx.Err() == nil; i++ {
				in := randomCall()
				_, _ = history.Do(client, t.id, in, func() (cellState, error) { return l.call(t, in) })
				if rand.N(4) == 0 {
					l.pause(rand.N(8 * pauseOfClients))
				}
			}
		})
	}
	clients.Wait()
	err := l.x.until("a cell is read", func() (err error) {
		state, err = history.Do(0, t.id, cellCall{}, func() (cellState, error) { return l.call(t, cellCall{}) })
		return err
	})
	if l.x.ctx.Err() != nil {
		return state, false // the test has ended for another reason
	}
	if err != nil {
		l.x.Errorf("%s: %v", t.id, err)
	}
	history.Check(l.x)
	return state, err == nil && l.unknownOf(t) == unknown
}

func randomCall() cellCall {
	switch n := rand.N(10); {
	case n < 3:
		return cellCall{Add: 1 + rand.Int64N(1<<40)} // any sum tells which are in it
	case n < 4:
		return cellCall{Word: fmt.Sprintf("%08x", rand.Uint32())}
	default:
		return cellCall{}
	}
}

func (l *cellLoad) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-l.ctx.Done():
	}
}

func (l *cellLoad) unknownOf(t *cellTally) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return t.unknown
}

// call makes one call, by several attempts at random nodes if need be.
func (l *cellLoad) call(t *cellTally, c cellCall) (cellState, error) {
	key, limit := uuid.NewString(), time.Now().Add(callLimit)
	var attempts []error
	unknown := false
	for {
		a, err := l.attempt("/cells/"+t.id, c, key)
		if err == nil {
			l.succeeded(t, c, a.Node)
			return a.cellState, nil
		}
		attempts = append(attempts[max(0, len(attempts)-9):], err)
		surely := errors.Is(err, object.ErrUnavailable)
		unknown = unknown || !surely && !c.reads()
		late := time.Now().Add(attemptLimit).After(limit)
		switch {
		case unknown && late:
			l.mu.Lock()
			defer l.mu.Unlock()
			l.unknown++
			t.unknown++
			t.cell.doubt += c.Add
			t.mirror.doubt += c.mirrored()
			err = fmt.Errorf("%w: %v %+v: %w", object.ErrUnknownOutcome, t.id, c, errors.Join(attempts...))
			if !surely {
				l.x.Errorf("unknown although it was tried again: %v", err)
			} else if l.unknown <= 20 {
				l.x.Logf("%v", err)
			}
			return cellState{}, err
		case late:
			return cellState{}, fmt.Errorf("%w: %w", object.ErrUnavailable, err)
		}
		time.Sleep(rand.N(min(50*time.Millisecond<<len(attempts), 200*time.Millisecond)))
	}
}

// entrance is a node to call, most likely one that answers.
func (l *cellLoad) entrance() (url string) {
	for range 3 {
		url = l.urls[rand.N(len(l.urls))]
		if at, ok := l.silent.Load(url); !ok || time.Since(at.(time.Time)) > 2*time.Second {
			break
		}
	}
	return url
}

// attempt makes one attempt. Its error is [object.ErrUnavailable] if it has surely changed nothing.
func (l *cellLoad) attempt(path string, c cellCall, key string) (a struct {
	cellState
	Node string
}, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), attemptLimit)
	defer cancel()
	node := l.entrance()
	method, url := http.MethodPost, node+path
	switch {
	case c.reads():
		method = http.MethodGet
	case c.Word != "":
		url += "/swap?word=" + c.Word
	default:
		url += fmt.Sprint("/add?by=", c.Add)
	}
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return a, err
	}
	r.Header.Set("Idempotency-Key", key) // by which nodes know an operation again, and net/http may send it again
	l.mu.Lock()
	l.attempts++
	l.mu.Unlock()
	response, err := l.web.RoundTrip(r)
	if ctx.Err() != nil {
		l.silent.Store(node, time.Now())
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		err = fmt.Errorf("%w: %w", object.ErrUnavailable, err)
	}
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return a, err
	case response.StatusCode == http.StatusOK:
		return a, json.Unmarshal(said, &a)
	case response.StatusCode == http.StatusServiceUnavailable:
		return a, fmt.Errorf("%w: %s", object.ErrUnavailable, said)
	case response.StatusCode != http.StatusGatewayTimeout:
		l.x.Errorf("%s: status %d: %s", path, response.StatusCode, said)
	}
	return a, fmt.Errorf("status %d: %s", response.StatusCode, said)
}

// succeeded notes that a call did.
func (l *cellLoad) succeeded(t *cellTally, c cellCall, node string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.acked++
	t.cell.sum += c.Add
	t.mirror.sum += c.mirrored()
	l.current[t.id] = node
	for o := range l.outages {
		if g := o.cells[t.id]; g != nil && !g.closed {
			g.longest, g.last = max(g.longest, now.Sub(g.last)), now
		}
	}
	if at, ok := l.hit[t.id]; ok && !c.reads() {
		delete(l.hit, t.id)
		l.gaps = append(l.gaps, now.Sub(at))
	}
}

// progress waits until so many more calls have succeeded.
func (l *cellLoad) progress(calls int) error {
	acked := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.acked
	}
	from := acked()
	return l.x.until("there is progress", func() error {
		if n := acked() - from; n < calls {
			return fmt.Errorf("%d of %d calls", n, calls)
		}
		return nil
	})
}

// owned is how many cells each node has answered for last.
func (l *cellLoad) owned() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	owned := make(map[string]int)
	for _, node := range l.current {
		owned[node]++
	}
	return owned
}

// suffer begins an outage of the cells of a node, or of all if it is nil.
func (l *cellLoad) suffer(a *app) *outage {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := &outage{at: time.Now(), cells: make(map[string]*gap)}
	for id, node := range l.current {
		if a == nil || node == a.name {
			o.cells[id] = &gap{last: o.at}
		}
	}
	l.outages[o] = true
	return o
}

// recovered waits until each cell of an outage that is over has been called once more, and notes how long they were not.
func (l *cellLoad) recovered(o *outage) error {
	mended := time.Now()
	err := l.x.until("all cells are called again", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		for id, g := range o.cells {
			if g.closed = g.last.After(mended); !g.closed {
				return fmt.Errorf("%s was called %v ago", id, time.Since(g.last))
			}
		}
		return nil
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.outages, o)
	for _, g := range o.cells {
		l.gaps = append(l.gaps, g.longest)
	}
	return err
}

// rewritten waits until all cells have been written again one of whose requests to the store was hit.
func (l *cellLoad) rewritten() error {
	return l.x.until("cells are written again", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if n := len(l.hit); n > 0 {
			return fmt.Errorf("%d are not", n)
		}
		return nil
	})
}

// struck notes that a request about a cell was hit.
func (l *cellLoad) struck(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.current[id]; !ok {
		return
	}
	if _, again := l.hit[id]; !again {
		l.hit[id] = time.Now()
	}
}

// count compares all cells and mirrors with what is known of them. The clients must have stopped.
func (l *cellLoad) count() {
	for _, t := range l.tallies {
		for path, want := range map[string]sums{"/cells/" + t.id: t.cell, "/mirrors/" + t.id: t.mirror} {
			var a cellState
			if err := l.x.until("a cell is counted", func() error {
				answer, err := l.attempt(path, cellCall{}, "")
				a = answer.cellState
				return err
			}); err != nil {
				l.x.Errorf("%s: %v", path, err)
			} else if a.Count < want.sum || a.Count > want.sum+want.doubt {
				l.x.Errorf("%s is %d; acknowledged: %d, unknown: %d", path, a.Count, want.sum, want.doubt)
			}
		}
	}
}

// percentile is the gap that so many percent are not longer than.
func (l *cellLoad) percentile(p int) time.Duration {
	if len(l.gaps) == 0 {
		return 0
	}
	slices.Sort(l.gaps)
	return l.gaps[(len(l.gaps)-1)*p/100].Round(10 * time.Millisecond)
}
