package memregistry_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/object/registrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The contract holds whatever the clock's rate against that of the timers.
func TestContract(t *testing.T) {
	for _, rate := range []float64{1, 0.95, 1.05} {
		for _, check := range registrytest.Checks() {
			t.Run(fmt.Sprintf("rate=%v/%s", rate, check.Name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { check.Run(t, newCluster(t, rate)) })
			})
		}
	}
}

// A cluster is a registry in memory as the contract suite drives it.
type cluster struct{ registry *memregistry.Registry }

func newCluster(t *testing.T, rate float64) cluster {
	start := time.Now()
	r := memregistry.New(memregistry.Options{
		Clock: func() time.Duration { return time.Duration(rate * float64(time.Since(start))) },
	})
	t.Cleanup(func() { r.Close() })
	return cluster{r}
}

func (c cluster) Lease() time.Duration          { return memregistry.DefaultLease }
func (c cluster) SessionTimeout() time.Duration { return 3 * memregistry.DefaultLease }

func (c cluster) Node(lease time.Duration) (object.Registry, error) {
	return c.registry.WithLease(lease), nil
}

func (c cluster) Expire(m object.Member) error {
	c.registry.Expire(m.Incarnation)
	return nil
}

func (c cluster) Disconnect(m object.Member) error {
	c.registry.Disconnect(m.Incarnation)
	return nil
}

func (c cluster) Reconnect(m object.Member) error {
	c.registry.Reconnect(m.Incarnation)
	return nil
}

func (c cluster) Slow(m object.Member, delay time.Duration) error {
	c.registry.Delay(m.Incarnation, delay)
	return nil
}

var _ registrytest.Slower = cluster{}
