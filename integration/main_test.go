// Package integration tests Highlander on real parts: ZooKeeper and S3 servers in containers, nodes that are processes, and faults
// between them.
package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/highlander-go/highlander/integration/servers"
	"github.com/highlander-go/highlander/internal/zk/zkserver"
)

// shared is what the tests of this package share. Each is made by the first test that needs it.
var shared struct {
	docker    func() (*servers.Docker, error)
	zooKeeper func() (*servers.ZooKeeper, error)
	s3        func() (*servers.S3, error)
	todo      func() (path string, err error)
	upgrade   func() (path string, err error)
	skipped   atomic.Int64 // tests, for want of Docker
}

func TestMain(m *testing.M) {
	servers.Guard()
	os.Exit(run(m))
}

func run(m *testing.M) (status int) {
	complain := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	dir, err := os.MkdirTemp("", "highlander")
	if err != nil {
		complain(err)
		return status
	}
	defer func() { complain(os.RemoveAll(dir)) }()
	if os.Getenv(servers.S3Variable) == "" {
		for _, c := range servers.Credentials() {
			name, value, _ := strings.Cut(c, "=")
			complain(os.Setenv(name, value))
		}
	}
	ctx := context.Background()
	var docker *servers.Docker
	engine := sync.OnceValue(func() (err error) {
		docker, err = servers.NewDocker(ctx)
		return err
	})
	shared.docker = func() (*servers.Docker, error) { err := engine(); return docker, err }
	shared.todo = sync.OnceValues(func() (string, error) { return build(dir, "..", "./examples/todo") })
	shared.upgrade = sync.OnceValues(func() (string, error) { return build(dir, ".", "./upgrade") })
	shared.zooKeeper = sync.OnceValues(func() (*servers.ZooKeeper, error) {
		if named := servers.NamedZooKeeper(); named != nil {
			return named, named.AwaitAll(ctx)
		}
		if err := engine(); err != nil {
			return nil, err
		}
		return docker.ZooKeeper(ctx, 3)
	})
	shared.s3 = sync.OnceValues(func() (*servers.S3, error) {
		if named, err := servers.NamedS3(); named != nil || err != nil {
			return named, err
		}
		if err := engine(); err != nil {
			return nil, err
		}
		return docker.S3(ctx)
	})
	status = m.Run()
	if docker != nil {
		complain(docker.Close())
	}
	web.CloseIdleConnections()
	complain(goleak.Find())
	if n := shared.skipped.Load(); n > 0 {
		fmt.Printf("\n*** SKIPPED: %d tests on real ZooKeeper and S3 servers. They need Docker, or %s and %s. ***\n\n", n, zkserver.Environment, servers.S3Variable)
	}
	return status
}

// zooKeeper returns the ensemble that all tests share.
func zooKeeper(t *testing.T) *servers.ZooKeeper {
	t.Helper()
	z, err := shared.zooKeeper()
	need(t, err)
	return z
}

// s3 returns the S3 server that all tests share.
func s3(t *testing.T) *servers.S3 {
	t.Helper()
	s, err := shared.s3()
	need(t, err)
	return s
}

// need skips the test if there is no Docker and none is required, and ends it with any other error.
func need(t *testing.T, err error) {
	t.Helper()
	switch {
	case errors.Is(err, servers.ErrNoDocker) && os.Getenv("HIGHLANDER_REQUIRE_DOCKER") == "":
		shared.skipped.Add(1)
		t.Skipf("SKIPPED: %v", err)
	case err != nil:
		t.Fatal(err)
	}
}

// own returns the servers' containers, or skips the test: servers that the environment names are not ours to stop.
func own(t *testing.T, z *servers.ZooKeeper) []*servers.Container {
	t.Helper()
	if len(z.Servers) == 0 {
		t.Skipf("SKIPPED: it stops servers, and those that %s names are not its own", zkserver.Environment)
	}
	return z.Servers
}

// must ends the test with err, if it is one.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
