package integration

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/highlander-go/highlander/integration/servers"
)

// real is what the tests of this package share: servers are started by the first test that needs them.
var real struct {
	docker    func() (*servers.Docker, error)
	zooKeeper func() (*servers.ZooKeeper, error)
	s3        func() (*servers.S3, error)
}

func TestMain(m *testing.M) {
	servers.Guard()
	ctx := context.Background()
	var docker *servers.Docker
	real.docker = sync.OnceValues(func() (d *servers.Docker, err error) {
		docker, err = servers.NewDocker(ctx)
		return docker, err
	})
	real.zooKeeper = sync.OnceValues(func() (*servers.ZooKeeper, error) {
		began := time.Now()
		d, err := real.docker()
		if err != nil {
			return nil, err
		}
		z, err := d.ZooKeeper(ctx, 3)
		fmt.Printf("ZooKeeper: up after %v\n", time.Since(began).Round(time.Millisecond))
		return z, err
	})
	real.s3 = sync.OnceValues(func() (*servers.S3, error) {
		began := time.Now()
		d, err := real.docker()
		if err != nil {
			return nil, err
		}
		s, err := d.S3(ctx)
		fmt.Printf("S3: up after %v\n", time.Since(began).Round(time.Millisecond))
		return s, err
	})
	status := m.Run()
	if docker != nil {
		if err := docker.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.Exit(status)
}

func TestServersStart(t *testing.T) {
	z, err := real.zooKeeper()
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range z.Addrs {
		mode, err := servers.Mode(addr)
		t.Log(addr, mode, err)
	}
	s, err := real.s3()
	if err != nil {
		t.Fatal(err)
	}
	t.Log(s.URL("test/x", s.Endpoint))
	if os.Getenv("HANG") != "" {
		time.Sleep(10 * time.Minute)
	}
	leader, err := z.Leader()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := z.Servers[leader].Stop(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := z.Servers[leader].Start(); err != nil {
			t.Fatal(err)
		}
		if err := z.AwaitAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Log("restarted in", time.Since(began))
	}
}
