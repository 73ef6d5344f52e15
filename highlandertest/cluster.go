// Package highlandertest runs clusters inside tests: some nodes in one process, that can be killed, paused and cut off from each other, from the registry and from
// the store, whose requests can be counted and made to go wrong, and histories of calls that are checked against a model.
//
//	func TestTransfer(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			cluster := highlandertest.Start(t, 3, todo.Objects)
//			counter := todo.Counters(cluster.Node(0)).Ref("visits")
//			…
//			cluster.Kill(cluster.Owner("counter", "visits"))
//			…
//		})
//	}
//
// All is in memory, unless [Options] say otherwise: then it works inside testing/synctest, where waiting for a lease to be over takes no time. Nothing is shared between clusters.
// What a test need not see to: the end of the test ends the cluster, and a fault that makes no sense ends the test.
package highlandertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/highlander-go/highlander"
	"github.com/highlander-go/highlander/internal/parts"
	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
)

// Options say how a cluster is to be. The zero Options are those of [Start].
type Options struct {
	// Config is what nodes are opened with. All share one Registry and one Store: memory unless they are set, which is all that works inside
	// testing/synctest. Where another registry is named, nodes call each other over TCP on loopback addresses.
	//
	// Empty: nodes are named n0, n1 and so on, and log to the test's output. Listen and Advertise are not used, and CheckReads is always set.
	Config highlander.Config

	// Node changes the config of the i-th node that Start opens. Nil: all have the same.
	Node func(i int, config *highlander.Config)
}

// Start starts a cluster of n nodes, in memory, that serve objects of the defined types. It ends with the test. With n = 0 all nodes come by [Cluster.Add].
func Start(t testing.TB, n int, definitions ...object.Definition) *Cluster {
	t.Helper()
	return Options{}.Start(t, n, definitions...)
}

// Start is [Start] with options.
func (o Options) Start(t testing.TB, n int, definitions ...object.Definition) *Cluster {
	t.Helper()
	if n < 0 {
		t.Fatalf("highlandertest: a cluster of %d nodes: start one of 0 or more", n)
	}
	c := &Cluster{t: t, options: o, definitions: definitions, network: newNetwork(!inMemory(o.Config.Registry)), faults: &StoreFaults{t: t}}
	c.over, c.end = context.WithCancel(context.Background())
	t.Cleanup(c.close)
	if inMemory(o.Config.Registry) {
		lease, timeout := c.times(o.Config)
		start := time.Now()
		c.clock = func() time.Duration { return time.Since(start) }
		c.registry = memregistry.New(memregistry.Options{Clock: c.clock, Lease: lease, SessionTimeout: timeout})
	}
	url := o.Config.Store
	if url == "" {
		url = "mem:"
	}
	store, err := persist.Open(t.Context(), url)
	if err != nil {
		t.Fatalf("highlandertest: Options.Config.Store: %v", err)
	}
	c.store = store
	for i := range n {
		config := o.Config
		if o.Node != nil {
			o.Node(i, &config)
		}
		c.Add(config, definitions...)
	}
	c.ResetCost()
	return c
}

func inMemory(registry string) bool { return registry == "" || registry == "mem:" }

// A Cluster is some nodes, each at a place: a number, from 0. Its methods may be called concurrently, but for Kill, Pause, Resume and Restart of one
// node. They end the test if what they are asked for cannot be.
type Cluster struct {
	t           testing.TB
	options     Options
	definitions []object.Definition
	network     *network
	registry    *memregistry.Registry // nil: it is elsewhere
	clock       object.Clock          // of the registry
	store       persist.Store
	faults      *StoreFaults

	over    context.Context // ends with the cluster
	end     context.CancelFunc
	running sync.WaitGroup // what has been left for later

	mu        sync.Mutex
	places    []*place
	processes []*process // all that have been, in the order of their starts
}

// A place is where one node after the other can be. What is below the line is guarded by the cluster's mutex.
type place struct {
	config      highlander.Config
	definitions []object.Definition

	node    *highlander.Node
	process *process
}

// Node returns the node at the place, or the last one that was there.
func (c *Cluster) Node(place int) *highlander.Node {
	c.t.Helper()
	return c.at(place).node
}

func (c *Cluster) at(i int) place {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if i < 0 || i >= len(c.places) {
		hint := ""
		if i == -1 {
			hint = " (Owner gives -1 for an object that nobody owns)"
		}
		c.t.Fatalf("highlandertest: there is no node %d, there are %d%s", i, len(c.places), hint)
	}
	return *c.places[i]
}

// Len is how many places there are.
func (c *Cluster) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.places)
}

// Add opens one more node and returns its place. It is as the config says, see [Options.Config]; zero times are the cluster's. Without definitions it has
// those that the cluster was started with.
func (c *Cluster) Add(config highlander.Config, definitions ...object.Definition) int {
	c.t.Helper()
	if len(definitions) == 0 {
		definitions = c.definitions
	}
	c.mu.Lock()
	i := len(c.places)
	if config.Name == "" {
		config.Name = fmt.Sprint("n", i)
	}
	if config.Log == nil {
		config.Log = slog.New(slog.NewTextHandler(c.t.Output(), nil)).With("at", config.Name)
	}
	if config.Lease == 0 {
		config.Lease = c.options.Config.Lease
	}
	if config.SessionTimeout == 0 {
		config.SessionTimeout = c.options.Config.SessionTimeout
	}
	config.Registry, config.Store = c.options.Config.Registry, c.options.Config.Store
	config.Listen, config.Advertise, config.CheckReads = "127.0.0.1:0", "", true
	for _, p := range c.places {
		if p.config.Name == config.Name {
			c.t.Errorf("highlandertest: two nodes are named %q: give each its own name", config.Name)
		}
	}
	c.places = append(c.places, &place{config: config, definitions: definitions})
	c.mu.Unlock()
	c.open(i)
	return i
}

// Restart opens another node in the place of one that was killed, drained or closed: a new process, with the same config. It serves the types that
// definitions define, of another version of the program perhaps; without them, those of the node before.
func (c *Cluster) Restart(place int, definitions ...object.Definition) *highlander.Node {
	c.t.Helper()
	select {
	case <-c.Node(place).Done():
	default:
		c.t.Fatalf("highlandertest: node %d is open: Kill, Drain or Close it first", place)
	}
	if len(definitions) > 0 {
		c.mu.Lock()
		c.places[place].definitions = definitions
		c.mu.Unlock()
	}
	return c.open(place)
}

// open opens a node at the place.
func (c *Cluster) open(i int) *highlander.Node {
	c.t.Helper()
	at := c.at(i)
	p := &process{place: i}
	p.life, p.kill = context.WithCancel(context.Background())
	given := parts.Parts{
		Store: nodeStore{c, p},
		Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			return c.network.dialNode(ctx, p, address)
		},
		Listen: func(address string) (net.Listener, error) { return c.network.listen(i, address) },
	}
	if c.registry == nil {
		given.DialRegistry = func(ctx context.Context, _, address string) (net.Conn, error) {
			return c.network.dial(ctx, p, Registry, address)
		}
	} else {
		lease, _ := c.times(at.config)
		given.Registry = &nodeRegistry{Registry: c.registry.WithClock(lease, p.clock(c.clock)), cluster: c, process: p}
	}
	c.mu.Lock()
	c.processes = append(c.processes, p)
	c.mu.Unlock()
	node, err := highlander.Open(parts.With(c.t.Context(), given), at.config, at.definitions...)
	if err != nil {
		c.t.Fatalf("highlandertest: node %d: %v", i, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.places[i].node, c.places[i].process = node, p
	return node
}

// times are the node's lease and session timeout. They end the test if the registry in memory could not have them.
func (c *Cluster) times(config highlander.Config) (lease, timeout time.Duration) {
	c.t.Helper()
	lease, timeout = config.Lease, config.SessionTimeout
	if lease == 0 {
		lease = memregistry.DefaultLease
	}
	if timeout == 0 {
		timeout = 3 * lease
	}
	if lease < 10*time.Millisecond || timeout <= lease {
		c.t.Fatalf("highlandertest: a lease of %v and a session timeout of %v: make the lease 10 ms or more, and the timeout longer than it", lease, timeout)
	}
	return lease, timeout
}

// Owner returns the place of the node that owns the object as far as the registry knows, which may be a dead one; -1 if nobody does. The object does not wake.
func (c *Cluster) Owner(typ, id string) int {
	c.t.Helper()
	c.mu.Lock()
	places := make([]place, len(c.places))
	for i, p := range c.places {
		places[i] = *p
	}
	c.mu.Unlock() // who is asked may be paused now, and Resume needs it
	var last error
	for _, asked := range places {
		if asked.node == nil { // it is being opened
			continue
		}
		select {
		case <-asked.node.Done():
			continue
		default:
		}
		if c.network.isHeld(asked.process.place, Registry) {
			continue
		}
		m, ok, err := asked.node.Host().Owner(c.t.Context(), object.Key{Type: typ, ID: id})
		if last = err; err != nil {
			continue
		}
		for i, p := range places {
			if ok && p.config.Name == m.Name {
				return i
			}
		}
		return -1
	}
	c.t.Fatalf("highlandertest: no node can ask the registry who owns %s/%s: %v", typ, id, last)
	return -1
}

// Stored returns what the store has of the object: its record, as docs/objects.md says, or nil if there is none. It costs nothing, and no fault befalls it.
func (c *Cluster) Stored(typ, id string) []byte {
	c.t.Helper()
	record, _, err := c.store.Get(c.t.Context(), persist.BlobName(object.Key{Type: typ, ID: id}))
	if err != nil && !errors.Is(err, object.ErrNoBlob) {
		c.t.Fatalf("highlandertest: %v", err)
	}
	return record
}

// Cost is what objects have cost since the cluster was started, or since [Cluster.ResetCost]. What nodes ask of the store when they are opened is not counted.
func (c *Cluster) Cost() Cost {
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	return c.faults.cost
}

// ResetCost has [Cluster.Cost] count from 0.
func (c *Cluster) ResetCost() {
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	c.faults.cost = Cost{}
}

// Store is where requests to the store are made to go wrong.
func (c *Cluster) Store() *StoreFaults { return c.faults }

// later runs f after so long, unless the cluster has ended.
func (c *Cluster) later(after time.Duration, f func()) {
	c.running.Go(func() {
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-timer.C:
			f()
		case <-c.over.Done():
		}
	})
}

// close ends the cluster. Nothing of it runs any more when it returns.
func (c *Cluster) close() {
	c.end()
	c.Store().When(nil)
	c.network.change(func() {
		clear(c.network.cut)
		clear(c.network.frozen)
	})
	for _, p := range c.processes {
		p.thaw()
	}
	c.tellRegistry()
	var closing sync.WaitGroup
	for _, p := range c.places {
		if p.node != nil {
			closing.Go(func() { p.node.Close() })
		}
	}
	closing.Wait()
	c.running.Wait()
	c.network.close()
	for _, p := range c.processes {
		p.kill()
	}
	if c.registry != nil {
		c.registry.Close()
	}
	if c.store != nil {
		if err := c.store.Close(); err != nil {
			c.t.Errorf("highlandertest: %v", err)
		}
	}
}
