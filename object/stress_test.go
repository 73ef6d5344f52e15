package object_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
)

// Nodes, clients and faults in real time. The other tests say what happens in situations that somebody has thought
// of; this one says what holds in all, and looks for one in which it does not.

// A hardship is what a cluster has to go through. Chances are from 0 to 1.
type hardship struct {
	name                     string
	places, objects, clients int // a place has one node
	lease                    time.Duration
	idle                     time.Duration // after which objects are let go
	patience                 time.Duration // the longest deadline of a call
	maxQueue                 int
	putTakes                 time.Duration // at most
	nodeFaults               time.Duration // between one and the next, on average; 0: there are none
	storeFaults              float64       // chance of a put, half of it of a load
	lateWrites               float64       // chance that a predecessor's write gets in the way of an activation's first put
	clashes                  float64       // chance that somebody else writes between two puts of one owner
}

var hardships = []hardship{
	{name: "objects move without faults", places: 2, objects: 64, clients: 64, lease: 200 * time.Millisecond,
		idle: 8 * time.Millisecond, patience: time.Second},
	{name: "a bit of everything", places: 3, objects: 6, clients: 48, lease: 60 * time.Millisecond,
		idle: 40 * time.Millisecond, patience: 400 * time.Millisecond, putTakes: 2 * time.Millisecond,
		nodeFaults: 30 * time.Millisecond, storeFaults: .2},
	{name: "one hot object", places: 1, objects: 1, clients: 128, lease: 50 * time.Millisecond,
		idle: time.Second, patience: 300 * time.Millisecond, maxQueue: 32, putTakes: time.Millisecond,
		nodeFaults: 500 * time.Millisecond, storeFaults: .15},
	{name: "nodes come and go", places: 4, objects: 3, clients: 64, lease: 30 * time.Millisecond,
		idle: 16 * time.Millisecond, patience: 200 * time.Millisecond, maxQueue: 16, putTakes: 4 * time.Millisecond,
		nodeFaults: 25 * time.Millisecond, storeFaults: .3},
	{name: "predecessors write late", places: 2, objects: 24, clients: 64, lease: 200 * time.Millisecond,
		idle: 8 * time.Millisecond, patience: 400 * time.Millisecond, putTakes: 3 * time.Millisecond,
		nodeFaults: 100 * time.Millisecond, storeFaults: .2, lateWrites: .8},
	{name: "somebody else writes", places: 2, objects: 8, clients: 32, lease: 500 * time.Millisecond,
		idle: 100 * time.Millisecond, patience: 400 * time.Millisecond, putTakes: time.Millisecond, clashes: .02},
}

const (
	round        = 10 * time.Second      // after each the store is compared with what callers were told
	enough       = 5                     // acknowledged updates a second, a small part of what a slow machine does
	hang         = 20 * time.Second      // longer than anything may take: what takes that long never ends
	releaseTakes = 20 * time.Millisecond // at most, from the effect of a claim's release to its answer
)

// HIGHLANDER_STRESS=10m makes each hardship take so long.
func TestStress(t *testing.T) {
	length := 1500 * time.Millisecond
	if set := os.Getenv("HIGHLANDER_STRESS"); set != "" {
		var err error
		if length, err = time.ParseDuration(set); err != nil {
			t.Fatalf("HIGHLANDER_STRESS=%q: give a duration such as 10m", set)
		}
	}
	for _, h := range hardships {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			for left := length; left > 0 && !t.Failed(); left -= round {
				run(t, h, min(left, round))
			}
		})
	}
}

// A cluster is the nodes of one run, and what its clients were told. Its world is in no bubble.
type cluster struct {
	*world
	hardship
	tallies *object.Type[tally]
	nodes   []atomic.Pointer[node] // by place
	stores  []*faultyStore         // by place
	ledgers map[string]*ledger     // by object
	late    sync.WaitGroup         // puts that land late
	last    atomic.Int64           // the newest update
	ctx     context.Context        // ends when the run is over, or has failed
	end     context.CancelFunc
	hung    chan string

	mu    sync.Mutex
	seen  map[string]int // how often what has happened
	fates map[int64]fate // by update
}

func run(t *testing.T, h hardship, length time.Duration) {
	c := &cluster{hardship: h, nodes: make([]atomic.Pointer[node], h.places), ledgers: make(map[string]*ledger),
		hung: make(chan string), seen: make(map[string]int), fates: make(map[int64]fate)}
	c.world = &world{T: t, log: new(record), hosts: make(map[uuid.UUID]*object.Host)}
	c.registry = memregistry.New(memregistry.Options{Lease: h.lease}) // sessions time out after three leases
	defer c.registry.Close()
	c.tallies = &object.Type[tally]{Name: "tally", Methods: []object.Method[tally]{raise, raiseBoth, show},
		Codec: tallyCodec, Idle: h.idle, MaxQueue: h.maxQueue}
	for i := range h.objects {
		c.ledgers[strconv.Itoa(i)] = &ledger{acked: make(map[int64]bool)}
	}
	began := time.Now()
	c.ctx, c.end = context.WithTimeout(context.Background(), length)
	defer c.end()
	records := persist.NewRecords(persist.NewMemory())
	var busy sync.WaitGroup
	for place := range c.nodes {
		c.stores = append(c.stores, &faultyStore{Committer: records, c: c, loaded: make(map[object.Key]object.Tag),
			looks: make(map[object.Key][16]byte)})
		c.serve(place, nil)
	}
	for place := range c.nodes {
		busy.Go(func() { c.trouble(place) })
	}
	for range c.clients {
		busy.Go(func() {
			for c.ctx.Err() == nil {
				c.call()
			}
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		busy.Wait()
		for place := range c.nodes {
			c.stop(c.nodes[place].Load())
		}
		c.late.Wait()
	}()
	select {
	case <-done:
	case what := <-c.hung:
		c.Fatalf("%s hangs; the goroutines are listed above", what)
	}
	c.Logf("after %v: %v", time.Since(began).Round(time.Millisecond), c.seen)
	for id, l := range c.ledgers {
		r, _, err := records.Load(context.Background(), object.Key{Type: c.tallies.Name, ID: id})
		c.check("object "+id, err)
		c.check("object "+id, l.matches(c.decode(r).Value))
	}
	alarms, clashes := strings.Count(c.log.String(), "ALARM"), c.seen["clash"]
	if alarms > clashes || alarms < clashes/2-2 { // an owner that ends before it looks has nothing to say
		c.Errorf("%d alarms, %d writes of somebody else between two of an owner", alarms, clashes)
	}
	if c.Failed() || length < time.Second {
		return
	}
	if c.seen["update"] < int(enough*length.Seconds()) {
		c.Errorf("only %d updates were acknowledged: the run says nothing", c.seen["update"])
	}
	for what, due := range map[string]bool{"node fault": c.nodeFaults > 0, "store fault": c.storeFaults > 0,
		"late write": c.lateWrites > 0, "clash": c.clashes > 0} {
		if due && c.seen[what] == 0 {
			c.Errorf("no %s: the run says nothing", what)
		}
	}
}

func (c *cluster) saw(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[what]++
}

// check ends the run when something does not hold.
func (c *cluster) check(what string, err error) {
	if err != nil {
		c.Errorf("%s: %v", what, err)
		c.end()
	}
}

// within fails the test if f hangs. Nothing else is said of how long things take.
func (c *cluster) within(limit time.Duration, what string, f func()) {
	timer := time.AfterFunc(limit, func() {
		stacks := make([]byte, 16<<20)
		c.Output().Write(stacks[:runtime.Stack(stacks, true)])
		c.hung <- what
	})
	defer timer.Stop()
	f()
}

func (c *cluster) pause(d time.Duration) { wait(c.ctx, d) }

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// A tally is raised by one by each update. By names the last one; 0: somebody else's.
type tally struct{ Value, By int64 }

// tallyCodec writes the array of both.
var tallyCodec = object.Codec[tally]{
	Append: func(b []byte, n tally) []byte {
		return codec.AppendInt(codec.AppendInt(codec.AppendArray(b, 2), n.Value), n.By)
	},
	Read: func(r *codec.Reader, n *tally) {
		for i := range r.Fields() {
			codec.ReadInt(r, [...]*int64{&n.Value, &n.By}[i])
		}
	},
}

// A fate is what is known of an update.
type fate int

const (
	isStored fate = 1 << iota // it was the last one in a record that the store has taken
	isDenied                  // its caller was told that it had no effect
)

func (c *cluster) learn(update int64, f fate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fates[update] |= f; update != 0 && c.fates[update] == isStored|isDenied {
		c.check("update", errors.New("it is stored, although its caller was told that it had no effect"))
	}
}

// A ledger is what callers were told of one object, whose value each update raises by one.
type ledger struct {
	mu      sync.Mutex
	shown   int64          // the highest value that a completed call has shown
	acked   map[int64]bool // values that updates were acknowledged with
	others  int64          // how often somebody else has raised it
	unknown int64          // updates with an unknown outcome
}

func (l *ledger) highest() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shown
}

// told is told that a call has shown value, or made it if it was an update, and that before was the highest value shown
// when the call began.
func (l *ledger) told(before, value int64, update bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case value < before:
		return fmt.Errorf("it shows %d, but %d had been shown before it began", value, before)
	case update && value == before:
		return fmt.Errorf("it has made %d, but that had been shown before it began", value)
	case update && l.acked[value]:
		return fmt.Errorf("it has made %d, but so has another update", value)
	case update:
		l.acked[value] = true
	}
	l.shown = max(l.shown, value)
	return nil
}

// matches says what is wrong with the value that is stored in the end.
func (l *ledger) matches(stored int64) error {
	if acked := int64(len(l.acked)) + l.others; stored < max(acked, l.shown) || stored > acked+l.unknown {
		return fmt.Errorf("%d is stored; %d updates were acknowledged, %d are unknown, %d was shown", stored, acked, l.unknown, l.shown)
	}
	return nil
}

// A refusal is the error of an update that changes nothing. It shows the state that the update has seen.
type refusal struct{ value int64 }

func (r *refusal) Error() string { return fmt.Sprint("refused at ", r.value) }

// How raise goes about it.
const (
	refusing = iota
	panicking
	exiting
	dawdling
	ways = 12 // most of them are the plain one
)

// A raising is the argument of updates.
type raising struct {
	By    int64
	Way   int
	Other string
}

var raise = object.Update("Raise", func(ctx context.Context, n *tally, r raising) (int64, error) {
	n.Value++
	n.By = r.By
	switch r.Way {
	case refusing:
		return 0, &refusal{n.Value - 1}
	case panicking:
		panic("as asked for")
	case exiting:
		runtime.Goexit()
	case dawdling:
		wait(ctx, rand.N(10*time.Millisecond))
	}
	return n.Value, nil
})

// raiseBoth raises another tally, too, through any node.
var raiseBoth = object.Update("RaiseBoth", func(ctx context.Context, n *tally, r raising) (int64, error) {
	c, err := object.Env[*cluster](ctx)
	if err != nil {
		return 0, err
	}
	if !c.ask("nested Raise", r.Other, true, func(o object.Collection[tally, string], by int64) (int64, error) {
		return raise.Call(ctx, o.Ref(r.Other), raising{By: by, Way: ways})
	}) {
		return 0, &refusal{n.Value}
	}
	n.Value++
	n.By = r.By
	return n.Value, nil
})

var show = object.Read("Show", func(_ context.Context, n *tally, _ object.None) (int64, error) { return n.Value, nil })

// call makes one call of any object, with a deadline, and sometimes for a caller who goes away before.
func (c *cluster) call() {
	patience := 1 + rand.N(c.patience)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if rand.IntN(10) == 0 {
		time.AfterFunc(rand.N(5*time.Millisecond), cancel)
	}
	id, other := strconv.Itoa(rand.IntN(c.objects)), strconv.Itoa(rand.IntN(c.objects))
	var n tally
	var version uint64
	c.within(patience+hang, "a call", func() {
		switch k := rand.IntN(10); {
		case k < 4:
			c.ask("Raise", id, true, func(o object.Collection[tally, string], by int64) (int64, error) {
				return raise.Call(ctx, o.Ref(id), raising{By: by, Way: rand.IntN(ways)})
			})
		case k < 5:
			c.ask("RaiseBoth", id, true, func(o object.Collection[tally, string], by int64) (int64, error) {
				return raiseBoth.Call(ctx, o.Ref(id), raising{By: by, Other: other})
			})
		case k < 7:
			c.ask("Show", id, false, func(o object.Collection[tally, string], _ int64) (int64, error) {
				return show.Call(ctx, o.Ref(id), object.None{})
			})
		default:
			c.ask("GetVersion", id, false, func(o object.Collection[tally, string], _ int64) (_ int64, err error) {
				n, version, err = o.GetVersion(ctx, id)
				return n.Value, err
			})
			if k < 8 {
				return
			}
			c.ask("PutIf", id, true, func(o object.Collection[tally, string], by int64) (int64, error) {
				n = tally{n.Value + 1, by}
				return n.Value, o.PutIf(ctx, id, version, n)
			})
		}
	})
}

// ask makes a call through any node, checks what it says, and tells whether it has succeeded.
func (c *cluster) ask(what, id string, update bool, call func(_ object.Collection[tally, string], by int64) (int64, error)) bool {
	l, by := c.ledgers[id], c.last.Add(1)
	before := l.highest()
	value, err := call(c.tallies.On(c.nodes[rand.IntN(c.places)].Load()), by)
	none := slices.ContainsFunc(noEffect, func(target error) bool { return errors.Is(err, target) })
	unknown := update && errors.Is(err, object.ErrUnknownOutcome)
	var refused *refusal
	switch {
	case err == nil:
		c.saw(map[bool]string{true: "update", false: "read"}[update])
		c.check(what, l.told(before, value, update))
	case errors.As(err, &refused):
		c.saw("refusal")
		c.learn(by, isDenied)
		c.check(what+", refused", l.told(before, refused.value, false))
	case none == unknown:
		c.check(what, fmt.Errorf("it is not clear whether there was an effect: %w", err))
	case none:
		c.saw("no effect")
		c.learn(by, isDenied)
		time.Sleep(rand.N(5 * time.Millisecond)) // who is turned away at once leaves the processor to others
	default:
		c.saw("unknown")
		l.mu.Lock()
		defer l.mu.Unlock()
		l.unknown++
	}
	return err == nil
}

// noEffect is what errors match that say that the call had no effect.
var noEffect = []error{object.ErrUnavailable, object.ErrClosed, object.ErrOverloaded, object.ErrVersion, object.ErrPanic, object.ErrCycle}

func (c *cluster) decode(r *object.Record) (n tally) {
	if r != nil {
		c.check("stored state", codec.Decode(r.State, &n, tallyCodec.Read))
	}
	return n
}

// serve has the host serve under a new session at the place; a new host if there is none, or that one is closed.
func (c *cluster) serve(place int, h *object.Host) {
	name := strconv.Itoa(place)
	var err error
	if h == nil || errors.Is(h.Ready(), object.ErrClosed) {
		h, err = object.NewHost(object.HostConfig{Node: name, Registry: c.registry, Committer: c.stores[place], Transport: c,
			Placement: object.Placement(place % 2), Env: c, Log: slog.New(slog.NewTextHandler(c.log, nil))}, c.tallies)
		c.check("NewHost", err)
	}
	n := &node{host: h, id: uuid.New(), branch: branch{done: make(chan struct{})}}
	n.session, err = c.registry.Join(context.Background(), object.Member{Incarnation: n.id, Name: name, Address: name, Types: h.Serves()})
	c.check("Join", err)
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	c.world.mu.Lock()
	c.hosts[n.id] = h
	c.world.mu.Unlock()
	c.nodes[place].Store(n)
	go func() {
		defer close(n.done)
		h.Serve(ctx, slowSession{n.session}, nil)
	}()
}

func (c *cluster) stop(n *node) {
	c.registry.Reconnect(n.id)
	c.within(hang, "stopping a node", n.stop)
}

// trouble has one fault after the other happen to the node at the place.
func (c *cluster) trouble(place int) {
	if c.nodeFaults == 0 {
		return
	}
	takeover := 3*c.lease + object.TakeoverWait(c.lease) // from a node's last renewal to another one's first answer
	for {
		c.pause(rand.N(2 * time.Duration(c.places) * c.nodeFaults))
		if c.ctx.Err() != nil {
			return
		}
		c.saw("node fault")
		n, kind := c.nodes[place].Load(), rand.IntN(8)
		switch kind { // the last three end the serving
		case 0:
			c.registry.Expire(n.id)
		case 1:
			c.registry.Disconnect(n.id)
			c.registry.Expire(n.id) // which it does not know
			c.pause(rand.N(2 * takeover))
		case 2:
			c.registry.Disconnect(n.id)
			c.pause(rand.N(2 * takeover))
		case 3: // cut off from everything, it reaches the store first
			c.stores[place].down.Store(true)
			c.registry.Disconnect(n.id)
			c.pause(rand.N(2 * takeover))
			c.stores[place].down.Store(false)
			c.pause(rand.N(takeover))
		case 4:
			c.registry.Delay(n.id, rand.N(3*c.lease/2))
			c.pause(c.lease)
			c.registry.Delay(n.id, 0)
		case 5:
			n.cancel()
		case 6:
			ctx, cancel := context.WithTimeout(context.Background(), rand.N(300*time.Millisecond))
			c.within(hang, "Drain", func() { n.host.Drain(ctx) })
			cancel()
		case 7:
			n.host.Close()
		}
		c.registry.Reconnect(n.id)
		if kind >= 5 || n.session.Lease().Err() != nil {
			c.stop(n)
			c.serve(place, n.host)
		}
	}
}

// A slowSession answers late that a claim was released.
type slowSession struct{ object.Session }

type slowClaim struct{ object.Claim }

func (s slowSession) Claim(ctx context.Context, key object.Key) (object.Claim, error) {
	claim, err := s.Session.Claim(ctx, key)
	if err != nil {
		return nil, err
	}
	return slowClaim{claim}, nil
}

func (s slowClaim) Release(ctx context.Context) error {
	defer time.Sleep(rand.N(releaseTakes))
	return s.Claim.Release(ctx)
}

// A faultyStore is the committer of the hosts at one place.
type faultyStore struct {
	object.Committer
	c    *cluster
	down atomic.Bool

	mu sync.Mutex
	// What tells an activation's first put: the tag that it has loaded, until it learns that a put of its own has succeeded;
	// and after a put whose condition has failed the write id that the next load looks for.
	loaded map[object.Key]object.Tag
	looks  map[object.Key][16]byte
}

var errStore = errors.New("the store has failed")

func (s *faultyStore) Load(ctx context.Context, key object.Key) (*object.Record, object.Tag, error) {
	if s.down.Load() || rand.Float64() < s.c.storeFaults/2 {
		wait(ctx, rand.N(10*time.Millisecond))
		return nil, "", errStore
	}
	r, tag, err := s.Committer.Load(ctx, key)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.loaded[key] = tag
		if id, ok := s.looks[key]; ok && r != nil && r.WriteID == id {
			delete(s.loaded, key)
		}
		delete(s.looks, key)
	}
	return r, tag, err
}

func (s *faultyStore) Commit(ctx context.Context, key object.Key, r *object.Record, prev object.Tag) (object.Tag, error) {
	time.Sleep(rand.N(s.c.putTakes + 1))
	s.mu.Lock()
	loaded, first := s.loaded[key]
	first = first && loaded == prev
	s.mu.Unlock()
	if s.down.Load() {
		return "", errStore
	} else if first && rand.Float64() < s.c.lateWrites {
		s.elseWrites("late write", key, prev)
	} else if !first && rand.Float64() < s.c.clashes {
		s.elseWrites("clash", key, prev)
	} else if rand.Float64() < s.c.storeFaults {
		s.c.saw("store fault")
		switch rand.IntN(5) {
		case 0:
			return "", object.ErrRefused
		case 1:
			return "", errStore
		case 2:
			s.put(ctx, key, r, prev)
			return "", errStore
		case 3: // it lands, but late
			late := *r
			late.State = slices.Clone(r.State)
			s.c.late.Go(func() {
				time.Sleep(rand.N(3 * s.c.lease))
				s.put(context.Background(), key, &late, prev)
			})
			return "", errStore
		case 4:
			wait(ctx, rand.N(2*s.c.lease))
		}
	}
	tag, err := s.put(ctx, key, r, prev)
	if errors.Is(err, object.ErrConditionFailed) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.looks[key] = r.WriteID
	}
	return tag, err
}

func (s *faultyStore) put(ctx context.Context, key object.Key, r *object.Record, prev object.Tag) (object.Tag, error) {
	tag, err := s.Committer.Commit(ctx, key, r, prev)
	if err == nil {
		s.c.learn(s.c.decode(r).By, isStored)
	}
	return tag, err
}

// elseWrites has somebody else raise the tally, if its record is still the one that the owner knows.
func (s *faultyStore) elseWrites(what string, key object.Key, prev object.Tag) {
	last, tag, err := s.Committer.Load(context.Background(), key)
	if err != nil || last == nil || tag != prev {
		return
	}
	c, r := s.c, *last
	r.Version, r.WriteID, r.Incarnation = r.Version+1, uuid.New(), uuid.New()
	r.State = tallyCodec.Append(nil, tally{c.decode(last).Value + 1, 0})
	if _, err := s.Committer.Commit(context.Background(), key, &r, prev); err != nil {
		return
	}
	c.saw(what)
	l := c.ledgers[key.ID]
	l.mu.Lock()
	defer l.mu.Unlock()
	l.others++
}
