package integration

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/integration/servers"
	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/internal/zk/client"
)

// session opens a session with one ZooKeeper server.
func session(t *testing.T, server string) zk.Session {
	t.Helper()
	ensemble, err := client.New([]string{server}, client.Options{})
	must(t, err)
	s, err := ensemble.Open(within(t, 30*time.Second), 6*time.Second, func(zk.Event) {})
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestZooKeeperServersShareTheirNodes(t *testing.T) {
	z := zooKeeper(t)
	ctx, root := within(t, time.Minute), "/"+uuid.NewString()
	var sessions []zk.Session
	for i, addr := range z.Addrs {
		s := session(t, addr)
		sessions = append(sessions, s)
		_, err := s.Create(ctx, fmt.Sprint(root, i), []byte(addr), zk.Ephemeral)
		must(t, err)
	}
	for i, addr := range z.Addrs {
		for _, s := range sessions {
			path := fmt.Sprint(root, i)
			must(t, s.Sync(ctx, path))
			if data, _, err := s.Get(ctx, path); string(data) != addr || err != nil {
				t.Errorf("what was made through %s is %q, %v", addr, data, err)
			}
		}
	}
}

// A server keeps its address and its data when it is killed, stopped or paused, and the others go on without it.
func TestZooKeeperGoesOnWithoutOneServer(t *testing.T) {
	z := zooKeeper(t)
	containers := own(t, z)
	root := "/" + uuid.NewString()
	for name, fault := range map[string]struct {
		begin, end func(*servers.Container, context.Context) error
	}{
		"kill":  {(*servers.Container).Kill, (*servers.Container).Start},
		"stop":  {(*servers.Container).Stop, (*servers.Container).Start},
		"pause": {(*servers.Container).Pause, (*servers.Container).Unpause},
	} {
		t.Run(name, func(t *testing.T) {
			leader, err := z.Leader()
			must(t, err)
			path := fmt.Sprint(root, name)
			must(t, fault.begin(containers[leader], t.Context()))
			other := session(t, z.Addrs[(leader+1)%len(z.Addrs)]) // waits for the new leader
			_, err = other.Create(within(t, 30*time.Second), path, []byte(name), zk.Ephemeral)
			must(t, err)
			must(t, fault.end(containers[leader], t.Context()))
			must(t, z.AwaitAll(t.Context()))
			back := session(t, z.Addrs[leader])
			must(t, back.Sync(within(t, 30*time.Second), path))
			if data, _, err := back.Get(within(t, 30*time.Second), path); string(data) != name || err != nil {
				t.Errorf("what was made without the server is %q, %v", data, err)
			}
		})
	}
}

// What the bucket needs to be used is in the environment; nobody else gets anything.
func TestS3RefusesStrangers(t *testing.T) {
	s := s3(t)
	status, body, err := call(within(t, time.Minute), "", http.MethodGet, s.Endpoint+"/highlander?list-type=2", "")
	if err != nil || status != http.StatusForbidden || !strings.Contains(string(body), "AccessDenied") {
		t.Errorf("a list of the bucket, without credentials: %d %s %v, want 403", status, body, err)
	}
}
