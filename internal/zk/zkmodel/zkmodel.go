// Package zkmodel is a model of a ZooKeeper ensemble inside the process, for tests and for the simulation. It does what real
// servers do that matters to a registry: one leader orders the writes, followers apply them late and answer reads from what they
// have, sessions live by touches that followers relay with their pings, connections are streams that stall, break, and
// deliver late.
//
// It runs on real time, or in a bubble of testing/synctest, where it is deterministic: one goroutine does all the work, in the order of
// times and, at one instant, in the order of causes. Only the order in which the program's own goroutines call it is theirs; see [Gate].
//
// What it leaves out: ACLs, digests and passwords, the log on disk, observers, quotas, limits on sizes. Where it cannot know how a
// race on real servers ends, it takes the harsher end: what a client has sent on a connection that it has given up reaches the server when the network heals.
package zkmodel

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
)

// A Config is how an ensemble is set up. The zero value is three servers with ZooKeeper's defaults.
type Config struct {
	Servers   int           // 3 by default; server 0 is the first leader
	Tick      time.Duration // tickTime, 2 s by default: the grain of expiry; the leader pings every half of it
	Phase     time.Duration // how long after the end of a tick its first ping comes, shorter than Tick/2. By default just short of that, so that expiry is as early as it can be
	SyncLimit int           // after so many ticks of silence follower and leader give each other up, 5 by default
	Election  time.Duration // how long an election takes, 200 ms by default
	Collect   time.Duration // how often empty containers are deleted, 1 min by default; below 0, only when [Model.CollectContainers] is called
	Retry     time.Duration // how long a client waits between two attempts to connect, 100 ms by default
	Lag       time.Duration // how long a message between two servers takes; others take no time. See [Model.Delay]
	Gate      Gate          // may be nil
}

// A Host is an end of a network link: a server, or a [Client].
type Host string

// Server names the i-th server, counted from 0.
func Server(i int) Host { return Host(fmt.Sprintf("zk%d", i)) }

// A Model is a running ensemble. Its methods may be called concurrently; what they change holds when they return.
type Model struct {
	config Config
	loop   loop
	start  time.Time

	mu        sync.Mutex // guards all below, and everything that the loop works on
	clients   map[Host]*Client
	clientsOf map[int64]*Session
	links     []*link // in the order of their making
	cut       map[route]bool
	delay     map[route]time.Duration
	servers   []*server
	leader    *server  // nil while there is none
	voting    bool     // an election is under way
	log       []*entry // all that was committed, in order; a zxid is an index into it, plus one
	sessions  map[int64]*tracked
	last      int64 // session made
	outbox    []func()
	closed    bool
}

// New starts an ensemble. Close it.
func New(c Config) (*Model, error) {
	c.Servers = cmp.Or(c.Servers, 3)
	c.Tick = cmp.Or(c.Tick, 2*time.Second)
	c.Phase = cmp.Or(c.Phase, c.Tick/2-c.Tick/1000)
	c.SyncLimit = cmp.Or(c.SyncLimit, 5)
	c.Election = cmp.Or(c.Election, 200*time.Millisecond)
	c.Collect = cmp.Or(c.Collect, time.Minute)
	c.Retry = cmp.Or(c.Retry, 100*time.Millisecond)
	if c.Servers < 0 || c.Tick < 0 || c.SyncLimit < 0 || c.Election < 0 || c.Retry < 0 || c.Lag < 0 {
		return nil, fmt.Errorf("zkmodel: nothing in %+v may be negative, but Collect", c)
	}
	m := &Model{
		config:    c,
		start:     time.Now(),
		clients:   make(map[Host]*Client),
		clientsOf: make(map[int64]*Session),
		cut:       make(map[route]bool),
		delay:     make(map[route]time.Duration),
		sessions:  make(map[int64]*tracked),
	}
	for i := range c.Servers {
		m.servers = append(m.servers, &server{m: m, id: i, host: Server(i), state: looking, tree: newTree(), touched: make(map[int64]bool)})
	}
	for i := range m.servers {
		for j := range m.servers {
			if i != j && c.Lag > 0 {
				m.delay[route{Server(i), Server(j)}] = c.Lag
			}
		}
	}
	m.loop.init(m)
	m.do(func() {
		m.lead(m.servers[0])
		m.after(c.Phase, m.tick)
		m.after(c.Tick, m.expireAndAgain)
		if c.Collect > 0 {
			m.after(c.Collect, m.collectAndAgain)
		}
	})
	go m.loop.run()
	return m, nil
}

// Close stops the ensemble and waits for its goroutine. Sessions hear nothing more: calls return when their contexts end.
func (m *Model) Close() {
	m.mu.Lock()
	closed := m.closed
	m.closed = true
	m.mu.Unlock()
	if !closed {
		close(m.loop.stop)
	}
	<-m.loop.stopped
}

// do carries out f as one step of the model.
func (m *Model) do(f func()) {
	m.mu.Lock()
	f()
	m.mu.Unlock()
	m.loop.nudge()
}

// A Client is a host that opens sessions: a [zk.Ensemble]. All its sessions use its network links.
type Client struct {
	m       *Model
	host    Host
	servers []*server // that its sessions connect to, in turn
	first   int       // the server that the first session tries first, if it may connect to all
	opened  int       // calls of Open
}

var _ zk.Ensemble = (*Client)(nil)

// Client returns a host whose sessions connect to the servers given, in turn, beginning with the first; if none is given, to all, each
// beginning with one that depends on the name. A name is used once.
func (m *Model) Client(name Host, servers ...int) (*Client, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.clients[name] != nil {
		return nil, fmt.Errorf("zkmodel: there is a client %q already", name)
	}
	spread := fnv.New32a() // by the name, so that the order of calls does not matter
	spread.Write([]byte(name))
	c := &Client{m: m, host: name, first: int(spread.Sum32() % uint32(len(m.servers)))}
	for _, i := range servers {
		if i < 0 || i >= len(m.servers) {
			return nil, fmt.Errorf("zkmodel: there is no server %d, but %d from 0", i, len(m.servers))
		}
		c.servers = append(c.servers, m.servers[i])
	}
	if len(servers) == 0 {
		c.servers = m.servers
	}
	m.clients[name] = c
	return c, nil
}

// Host is the client's end of its network links.
func (c *Client) Host() Host { return c.host }

// What the model refuses that has no name in package zk: nothing was done.
var (
	errPath         = errors.New("zookeeper: bad path")
	errMode         = errors.New("zookeeper: mode not supported here")
	errNoChildren   = errors.New("zookeeper: ephemeral nodes have no children")
	errSessionMoved = errors.New("zookeeper: session moved to another server")
)
