package zkregistry

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/highlander-go/highlander/internal/zk/zkmodel"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/object/registrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The contract holds over a model of ZooKeeper whose followers lag, whatever the clock's rate against that of the timers.
func TestContract(t *testing.T) {
	for _, rate := range []float64{1, 0.98, 1.02} {
		for _, check := range registrytest.Checks() {
			t.Run(fmt.Sprintf("rate=%v/%s", rate, check.Name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { check.Run(t, newModelCluster(t, rate)) })
			})
		}
	}
}

// A modelCluster is a registry over the model as the contract suite drives it: each node is a host of its own.
type modelCluster struct {
	t     *testing.T
	model *zkmodel.Model
	clock object.Clock
	gate  gate

	mu      sync.Mutex
	nodes   int
	clients map[string]zkmodel.Host // by pair
	ids     map[string]int64        // of ZooKeeper's sessions, by pair
}

func newModelCluster(t *testing.T, rate float64) *modelCluster {
	start := time.Now()
	c := &modelCluster{t: t, clients: make(map[string]zkmodel.Host), ids: make(map[string]int64),
		clock: func() time.Duration { return time.Hour + time.Duration(rate*float64(time.Since(start))) }}
	var err error
	c.model, err = zkmodel.New(zkmodel.Config{Lag: 20 * time.Millisecond, Tick: 500 * time.Millisecond, Gate: c.gate.pass})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.model.Close)
	return c
}

func (c *modelCluster) Lease() time.Duration          { return DefaultLease }
func (c *modelCluster) SessionTimeout() time.Duration { return DefaultSessionTimeout }

func (c *modelCluster) Node(lease time.Duration) (object.Registry, error) {
	return c.open(Options{Lease: lease})
}

func (c *modelCluster) open(o Options) (*modelNode, error) {
	c.mu.Lock()
	c.nodes++
	host := zkmodel.Host(fmt.Sprintf("node%d", c.nodes))
	servers := []int{c.nodes % 3, (c.nodes + 1) % 3, (c.nodes + 2) % 3}
	c.mu.Unlock()
	client, err := c.model.Client(host, servers...)
	if err != nil {
		return nil, err
	}
	o.Root, o.Clock = "/todo", c.clock
	r, err := Open(c.t.Context(), client, o)
	if err != nil {
		return nil, err
	}
	c.t.Cleanup(func() { r.Close() })
	return &modelNode{r, c, host}, nil
}

type modelNode struct {
	*Registry
	cluster *modelCluster
	host    zkmodel.Host
}

func (n *modelNode) Join(ctx context.Context, m object.Member) (object.Session, error) {
	s, err := n.Registry.Join(ctx, m)
	if err == nil {
		n.cluster.mu.Lock()
		defer n.cluster.mu.Unlock()
		n.cluster.clients[pairName(m)] = n.host
		n.cluster.ids[pairName(m)] = s.(*session).ID()
	}
	return s, err
}

func (c *modelCluster) Expire(m object.Member) error {
	return c.model.Expire(c.ids[pairName(m)])
}

func (c *modelCluster) Disconnect(m object.Member) error {
	host := c.clients[pairName(m)]
	for i := range 3 {
		c.model.Cut(host, zkmodel.Server(i))
		c.model.Cut(zkmodel.Server(i), host)
	}
	return nil
}

func (c *modelCluster) Reconnect(m object.Member) error {
	host := c.clients[pairName(m)]
	for i := range 3 {
		c.model.Heal(host, zkmodel.Server(i))
		c.model.Heal(zkmodel.Server(i), host)
	}
	return nil
}

func (c *modelCluster) Slow(m object.Member, delay time.Duration) error {
	host := c.clients[pairName(m)]
	for i := range 3 {
		c.model.Delay(zkmodel.Server(i), host, delay)
	}
	return nil
}

var _ registrytest.Slower = (*modelCluster)(nil)
