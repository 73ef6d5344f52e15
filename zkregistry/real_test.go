package zkregistry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/highlander-go/highlander/internal/zk/client"
	"github.com/highlander-go/highlander/internal/zk/zkserver"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/object/registrytest"
)

// The contract holds on real servers, in real time.
func TestContractOnRealServers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute of real time")
	}
	servers := zkserver.Addrs(t)
	for i, check := range registrytest.Checks() {
		t.Run(check.Name, func(t *testing.T) {
			if check.Name != "NoGoroutineStays" { // which looks at all that there are
				t.Parallel() // they mostly wait
			}
			check.Run(t, &realCluster{t: t, servers: servers, root: fmt.Sprintf("/contract%d-%d", i, time.Now().UnixNano()), clock: bootClock(), nodes: make(map[string]*realNode)})
		})
	}
}

// A realCluster is a registry on real servers as the contract suite drives it.
type realCluster struct {
	t       *testing.T
	servers []string
	root    string
	clock   object.Clock

	mu    sync.Mutex
	nodes map[string]*realNode // by pair
}

func (c *realCluster) Lease() time.Duration          { return time.Second }
func (c *realCluster) SessionTimeout() time.Duration { return 3 * time.Second }

func (c *realCluster) Node(lease time.Duration) (object.Registry, error) {
	n := &realNode{cluster: c}
	ensemble, err := client.New(c.servers, client.Options{Dial: n.wire.dial})
	if err != nil {
		return nil, err
	}
	n.Registry, err = Open(c.t.Context(), ensemble, Options{Root: c.root, Lease: lease, SessionTimeout: c.SessionTimeout(), Clock: c.clock})
	if err != nil {
		return nil, err
	}
	c.t.Cleanup(func() { n.Registry.Close() })
	return n, nil
}

type realNode struct {
	*Registry
	cluster *realCluster
	wire    wire
}

func (n *realNode) Join(ctx context.Context, m object.Member) (object.Session, error) {
	s, err := n.Registry.Join(ctx, m)
	if err == nil {
		n.cluster.mu.Lock()
		defer n.cluster.mu.Unlock()
		n.cluster.nodes[pairName(m)] = n
	}
	return s, err
}

func (c *realCluster) node(m object.Member) *realNode {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[pairName(m)]
}

func (c *realCluster) Expire(m object.Member) error {
	r := c.node(m).Registry
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.sessions {
		if s.pair == pairName(m) {
			return zkserver.EndSession(c.t.Context(), c.servers[0], s.ID())
		}
	}
	return errors.New("no such session")
}

func (c *realCluster) Disconnect(m object.Member) error {
	c.node(m).wire.cut()
	return nil
}

func (c *realCluster) Reconnect(m object.Member) error {
	c.node(m).wire.mend()
	return nil
}

func (c *realCluster) Slow(m object.Member, delay time.Duration) error {
	c.node(m).wire.slow(delay)
	return nil
}

// A wire is what a node's connections go through.
type wire struct {
	mu    sync.Mutex
	down  bool
	delay time.Duration
	conns []net.Conn
}

var errCut = errors.New("the wire is cut")

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		c.Close()
		return nil, errCut
	}
	w.conns = append(w.conns, c)
	return &wired{c, w}, nil
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = true
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = false
}

func (w *wire) slow(delay time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay = delay
}

// A wired connection delivers what comes late, when its wire is slow.
type wired struct {
	net.Conn
	wire *wire
}

func (c *wired) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wire.mu.Lock()
	delay := c.wire.delay
	c.wire.mu.Unlock()
	time.Sleep(delay)
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	if c.wire.down {
		return 0, errCut
	}
	return n, err
}

func benchSession(b *testing.B) object.Session {
	servers := zkserver.Addrs(b)
	ensemble, err := client.New(servers, client.Options{})
	if err != nil {
		b.Fatal(err)
	}
	r, err := Open(b.Context(), ensemble, Options{Root: fmt.Sprintf("/bench%d", time.Now().UnixNano())})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { r.Close() })
	s, err := r.Join(b.Context(), object.Member{Incarnation: [16]byte{1}, Name: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// Claim and release of one key after the other, and of many at once, on a real server.
func BenchmarkClaim(b *testing.B) {
	s := benchSession(b)
	run := func(b *testing.B, callers int) {
		var work sync.WaitGroup
		next := make(chan int)
		for range callers {
			work.Go(func() {
				for i := range next {
					c, err := s.Claim(context.Background(), object.Key{Type: "list", ID: fmt.Sprint(i)})
					if err == nil {
						err = c.Release(context.Background())
					}
					if err != nil {
						b.Error(err)
					}
				}
			})
		}
		i := 0
		for b.Loop() {
			next <- i
			i++
		}
		close(next)
		work.Wait()
		b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "claims/s")
	}
	for _, callers := range []int{1, maxInFlight} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { run(b, callers) })
	}
}
