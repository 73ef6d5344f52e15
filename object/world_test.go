package object_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	leaseLength    = 2 * time.Second
	sessionTimeout = 6 * time.Second
)

// A world is a registry, a store and a network for the nodes of one test, which runs in a synctest bubble: time
// passes only when all goroutines wait.
type world struct {
	*testing.T
	registry *memregistry.Registry
	store    *store
	clock    func() time.Duration
	types    []object.Definition
	env      any
	log      *record
	onGrow   func(*node) // what is done when the node asks for another session

	// Of nodes that are made from now on.
	placement  object.Placement
	serves     []string
	checkReads bool
	committer  object.Committer // nil: the store
	alone      bool             // they have no transport

	// onCall stands between the nodes. While calls are made it is changed with mu held.
	onCall func(to object.Member, r *object.Request, deliver func() ([]byte, error)) ([]byte, error)

	mu       sync.Mutex
	hosts    map[uuid.UUID]*object.Host
	calls    map[uuid.UUID]int // that nodes were sent
	suspects map[uuid.UUID]object.Suspicion
}

// inWorld runs the test in a world of its own.
func inWorld(t *testing.T, test func(w *world), types ...object.Definition) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := &world{T: t, log: new(record), hosts: make(map[uuid.UUID]*object.Host), types: append(types, counters), placement: object.PreferLocal,
			calls: make(map[uuid.UUID]int), suspects: make(map[uuid.UUID]object.Suspicion)}
		w.clock = func() time.Duration { return time.Since(start) }
		w.store = &store{Committer: persist.NewRecords(persist.NewMemory()), world: w}
		w.limit(0)
		defer func() { w.registry.Close() }()
		test(w)
	})
}

// limit makes a registry, before there are nodes, in which so many claims fill a session.
func (w *world) limit(claims int) {
	w.registry = memregistry.New(memregistry.Options{Clock: func() time.Duration { return w.clock() }, Lease: leaseLength,
		SessionTimeout: sessionTimeout, MaxClaims: claims})
}

// A record is a log that a test can read.
type record struct {
	mu  sync.Mutex
	log strings.Builder
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// A node is a host that serves under a session of its own, or under several.
type node struct {
	host  *object.Host
	world *world
	id    uuid.UUID
	branch
	more []*branch
}

// A branch is one session that a node serves under.
type branch struct {
	session object.Session
	cancel  context.CancelFunc
	done    chan struct{}
}

func (w *world) node(name string) *node {
	w.Helper()
	n := w.begin(name)
	n.join()
	w.Cleanup(n.stop)
	return n
}

// begin makes a node that has no session yet.
func (w *world) begin(name string) *node {
	w.Helper()
	n := &node{world: w}
	var committer object.Committer = w.store
	if w.committer != nil {
		committer = w.committer
	}
	var transport object.Transport = w
	if w.alone {
		transport = nil
	}
	h, err := object.NewHost(object.HostConfig{
		Node: name, Registry: watched{w.registry, w}, Committer: committer, Transport: transport, Env: w.env, Grow: n.grow, Placement: w.placement, Serves: w.serves, CheckReads: w.checkReads,
		Log: slog.New(slog.NewTextHandler(io.MultiWriter(w.Output(), w.log), nil)),
	}, w.types...)
	if err != nil {
		w.Fatal(err)
	}
	n.host = h
	return n
}

func (n *node) Host() *object.Host { return n.host }

// join gives the node a session and serves under it.
func (n *node) join() {
	n.id = uuid.New()
	n.branch = *n.serve(n.enter(1))
	synctest.Wait()
}

// enter gives the node its session of that number.
func (n *node) enter(number int) object.Session {
	n.world.mu.Lock()
	n.world.hosts[n.id] = n.host
	n.world.mu.Unlock()
	s, err := n.world.registry.Join(n.world.Context(), object.Member{Incarnation: n.id, Session: number, Name: n.id.String(),
		Address: "here", Types: n.host.Serves()})
	if err != nil {
		n.world.Fatal(err)
	}
	return s
}

// serve serves under the session.
func (n *node) serve(s object.Session) *branch {
	ctx, cancel := context.WithCancel(context.Background())
	b := &branch{s, cancel, make(chan struct{})}
	go func() {
		defer close(b.done)
		n.host.Serve(ctx, s, nil)
	}()
	return b
}

// another serves under one more session.
func (n *node) another() *branch {
	b := n.serve(n.enter(len(n.more) + 2))
	n.more = append(n.more, b)
	return b
}

func (n *node) grow() {
	if n.world.onGrow != nil {
		n.world.onGrow(n)
	}
}

// stop ends the serving and retires the sessions, as a node's tree does.
func (n *node) stop() {
	n.branch.stop()
	for _, b := range n.more {
		b.stop()
	}
}

func (b *branch) stop() {
	b.cancel()
	<-b.done
	b.session.Retire(context.Background())
}

// Call is the network: it hands the request to the other host.
func (w *world) Call(ctx context.Context, to object.Member, r *object.Request) ([]byte, error) {
	w.mu.Lock()
	h := w.hosts[to.Incarnation]
	if w.calls != nil {
		w.calls[to.Incarnation]++
	}
	onCall := w.onCall
	w.mu.Unlock()
	deliver := func() ([]byte, error) {
		if h == nil {
			return nil, refused(to)
		}
		return h.Handle(ctx, r)
	}
	if onCall != nil {
		return onCall(to, r, deliver)
	}
	return deliver()
}

// overTheWire turns the errors of other hosts into what a transport makes of them.
func overTheWire(_ object.Member, _ *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
	reply, err := deliver()
	if lost := (*object.UnreachableError)(nil); err != nil && !errors.As(err, &lost) {
		err = object.NewRemoteError(err)
	}
	return reply, err
}

func refused(to object.Member) error {
	return &object.UnreachableError{Member: to, How: object.Gone, Err: errors.New("connection refused")}
}

// A watched registry notes whom its nodes suspect.
type watched struct {
	object.Registry
	w *world
}

func (r watched) Suspect(m object.Member, how object.Suspicion) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	r.w.suspects[m.Incarnation] = how
}

// A put is what the store was asked to write, and what it said.
type put struct {
	key    object.Key
	record object.Record
	prev   object.Tag
	tag    object.Tag
	err    error
	at     time.Duration
}

// A store is the committer of a world: onLoad and onCommit stand between the hosts and the records.
type store struct {
	object.Committer
	world    *world
	onLoad   func(ctx context.Context, key object.Key, load func() (*object.Record, object.Tag, error)) (*object.Record, object.Tag, error)
	onCommit func(ctx context.Context, n int, commit func() (object.Tag, error)) (object.Tag, error)

	mu   sync.Mutex
	puts []put
}

func (s *store) Load(ctx context.Context, key object.Key) (*object.Record, object.Tag, error) {
	load := func() (*object.Record, object.Tag, error) { return s.Committer.Load(ctx, key) }
	if s.onLoad == nil {
		return load()
	}
	return s.onLoad(ctx, key, load)
}

func (s *store) Commit(ctx context.Context, key object.Key, r *object.Record, prev object.Tag) (object.Tag, error) {
	p := put{key: key, record: *r, prev: prev, at: s.world.clock()}
	p.record.State = append([]byte(nil), r.State...)
	s.mu.Lock()
	n := len(s.puts)
	s.puts = append(s.puts, p)
	s.mu.Unlock()
	commit := func() (object.Tag, error) { // what was sent may land although nobody waits for it any more
		return s.Committer.Commit(context.WithoutCancel(ctx), key, &p.record, prev)
	}
	var tag object.Tag
	var err error
	if s.onCommit != nil {
		tag, err = s.onCommit(ctx, n, commit)
	} else {
		tag, err = commit()
	}
	s.mu.Lock()
	s.puts[n].tag, s.puts[n].err = tag, err
	s.mu.Unlock()
	return tag, err
}

// count is how many puts the store was asked for.
func (s *store) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.puts)
}

// write puts a counter into the store behind everybody's back, as the late write of a former owner.
func (s *store) write(value int64) object.Record {
	key := object.Key{Type: "counter", ID: "a"}
	last, tag, err := s.Committer.Load(context.Background(), key)
	if err != nil {
		s.world.Fatal(err)
	}
	r := object.Record{Epoch: 1, Version: 1, WriteID: uuid.New(), Incarnation: uuid.New()}
	if last != nil {
		r.Epoch, r.Version, r.Incarnation = last.Epoch, last.Version+1, last.Incarnation
	}
	r.State = counterCodec.Append(nil, counter{value})
	if _, err := s.Committer.Commit(context.Background(), key, &r, tag); err != nil {
		s.world.Fatal(err)
	}
	return r
}

// stored is the counter's value in the store, -1 if it has none.
func (s *store) stored() int64 {
	r, _, err := s.Committer.Load(context.Background(), object.Key{Type: "counter", ID: "a"})
	if err != nil {
		s.world.Fatal(err)
	}
	if r == nil {
		return -1
	}
	var c counter
	if err := codec.Decode(r.State, &c, counterCodec.Read); err != nil {
		s.world.Fatal(err)
	}
	return c.Value
}

// A result is what a call came to, once it has.
type result struct {
	done  chan struct{}
	value int64
	err   error
}

// over tells whether the call has returned, once nothing can go on without time passing.
func (r *result) over() bool {
	synctest.Wait()
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func (r *result) wait() (int64, error) {
	<-r.done
	return r.value, r.err
}

func background(call func() (int64, error)) *result {
	r := &result{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.value, r.err = call()
	}()
	return r
}

// add adds to the counter "a" through the node, in the background.
func (n *node) add(ctx context.Context, delta int64) *result {
	r := background(func() (int64, error) { return add.Call(ctx, counters.On(n).Ref("a"), delta) })
	synctest.Wait()
	return r
}

// attempt adds to the counter "a" at the node, which owns it or wakes it, in the background. The result is what the owner says: nobody tries again.
func (n *node) attempt(ctx context.Context, delta int64) *result { return n.attemptAt(ctx, "a", delta) }

func (n *node) attemptAt(ctx context.Context, id string, delta int64) *result {
	r := background(func() (v int64, err error) {
		reply, err := n.host.Handle(ctx, &object.Request{Key: object.Key{Type: "counter", ID: id}, Method: add.Name, Args: add.Args.Append(nil, delta)})
		if err != nil {
			return 0, err
		}
		return v, codec.Decode(reply, &v, add.Results.Read)
	})
	synctest.Wait()
	return r
}

// get reads the counter "a" through the node, in the background.
func (n *node) get(ctx context.Context) *result {
	r := background(func() (int64, error) {
		c, err := counters.On(n).Get(ctx, "a")
		return c.Value, err
	})
	synctest.Wait()
	return r
}

func (w *world) mustAdd(n *node, delta, want int64) {
	w.Helper()
	if got, err := n.add(w.Context(), delta).wait(); err != nil || got != want {
		w.Fatalf("add %d: %d, %v; want %d", delta, got, err, want)
	}
}

func (w *world) mustGet(n *node, want int64) {
	w.Helper()
	if got, err := n.get(w.Context()).wait(); err != nil || got != want {
		w.Fatalf("get: %d, %v; want %d", got, err, want)
	}
}

func (w *world) mustFail(r *result, want ...error) {
	w.Helper()
	_, err := r.wait()
	for _, target := range want {
		if !errors.Is(err, target) {
			w.Fatalf("error %v; want one that matches %v", err, target)
		}
	}
	if errors.Is(err, object.ErrUnavailable) && errors.Is(err, object.ErrUnknownOutcome) {
		w.Fatalf("error %v says both that nothing changed and that the outcome is unknown", err)
	}
}

func (w *world) mustWait(r *result) {
	w.Helper()
	if r.over() {
		v, err := r.wait()
		w.Fatalf("the call has returned %d, %v; it had to wait", v, err)
	}
}

// holdEach holds each of the next n puts until its gate is closed.
func (s *store) holdEach(n int) (gates []chan struct{}) {
	first := s.count()
	for range n {
		gates = append(gates, make(chan struct{}))
	}
	s.onCommit = func(_ context.Context, i int, commit func() (object.Tag, error)) (object.Tag, error) {
		if i -= first; i < n {
			<-gates[i]
		}
		return commit()
	}
	return gates
}

// then has the put of that number answered by the function, after what else holds it.
func (s *store) then(n int, answer func(commit func() (object.Tag, error)) (object.Tag, error)) {
	before := s.onCommit
	s.onCommit = func(ctx context.Context, i int, commit func() (object.Tag, error)) (object.Tag, error) {
		if i != n {
			return before(ctx, i, commit)
		}
		return before(ctx, i, func() (object.Tag, error) { return answer(commit) })
	}
}

// hold makes the store wait with puts until release is called, or their context ends.
func (s *store) hold() (release func()) {
	gate := make(chan struct{})
	s.onCommit = func(ctx context.Context, _ int, commit func() (object.Tag, error)) (object.Tag, error) {
		select {
		case <-gate:
			return commit()
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	return sync.OnceFunc(func() { close(gate) })
}
