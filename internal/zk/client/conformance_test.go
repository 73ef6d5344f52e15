package client

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/internal/zk/zkserver"
	"github.com/highlander-go/highlander/internal/zk/zktest"
)

func TestConformanceOfOneServer(t *testing.T) {
	h := newHarness(t, zkserver.Addrs(t))
	zktest.Run(t, func(*testing.T) zktest.Harness { return h })
}

func TestConformanceOfThreeServers(t *testing.T) {
	if os.Getenv(zkserver.Environment) != "" {
		t.Skipf("SKIPPED: servers that %s names are not killed", zkserver.Environment)
	}
	servers := zkserver.Start(t, 3)
	h := processes{newHarness(t, servers.Addrs()), t, servers}
	zktest.Run(t, func(*testing.T) zktest.Harness { return h })
}

// A harness gives each session a link of its own to the servers.
type harness struct {
	addrs []string

	mu    sync.Mutex
	links map[zk.Session]*link
}

func newHarness(t *testing.T, addrs []string) *harness {
	h := &harness{addrs: addrs, links: map[zk.Session]*link{}}
	t.Cleanup(func() {
		for _, l := range h.links {
			l.rejoin()
			l.cut()
			l.relays.Wait()
		}
	})
	return h
}

func (h *harness) Servers() int           { return len(h.addrs) }
func (h *harness) Timeout() time.Duration { return 8 * zkserver.Tick }
func (h *harness) Collect() error         { return nil } // the servers do so by themselves

func (h *harness) Ensemble(servers ...int) (zk.Ensemble, error) {
	if len(servers) == 0 {
		return &linked{h, h.addrs}, nil
	}
	var addrs []string
	for _, i := range servers {
		addrs = append(addrs, h.addrs[i])
	}
	return &linked{h, addrs}, nil
}

func (h *harness) link(s zk.Session) *link {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.links[s]
}

func (h *harness) Disconnect(s zk.Session) error { h.link(s).cut(); return nil }
func (h *harness) Isolate(s zk.Session) error    { h.link(s).isolate(); return nil }
func (h *harness) Rejoin(s zk.Session) error     { h.link(s).rejoin(); return nil }

// Expire keeps the session from coming back before it is over: let in at that very moment by a follower, an idle session was seen not to hear of its
// end for 27 s, at a timeout of 4 s.
func (h *harness) Expire(s zk.Session) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l := h.link(s)
	l.isolate()
	err := zkserver.EndSession(ctx, h.addrs[0], s.ID())
	l.cut()
	l.rejoin()
	return err
}

type linked struct {
	h     *harness
	addrs []string
}

func (e *linked) Open(ctx context.Context, timeout time.Duration, events func(zk.Event)) (zk.Session, error) {
	l := &link{open: make(chan struct{})}
	close(l.open)
	ensemble, err := New(e.addrs, Options{Dial: l.dial})
	if err != nil {
		return nil, err
	}
	s, err := ensemble.Open(ctx, timeout, events)
	if err != nil {
		return nil, err
	}
	e.h.mu.Lock()
	defer e.h.mu.Unlock()
	e.h.links[s] = l
	return s, nil
}

// A link carries one session's connections, and can hold what they carry, their ends included.
type link struct {
	relays sync.WaitGroup

	mu    sync.Mutex
	open  chan struct{} // closed while nothing is held
	conns []net.Conn
}

func (l *link) isolate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if isClosed(l.open) {
		l.open = make(chan struct{})
	}
}

func (l *link) rejoin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !isClosed(l.open) {
		close(l.open)
	}
}

func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.conns {
		_ = conn.Close()
	}
	l.conns = nil
}

func (l *link) gate() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

func (l *link) dial(ctx context.Context, network, address string) (net.Conn, error) {
	select {
	case <-l.gate():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	server, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	client, far := net.Pipe()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, client, server)
	l.relays.Go(func() { l.relay(server, far) })
	l.relays.Go(func() { l.relay(far, server) })
	return client, nil
}

func (l *link) relay(to, from net.Conn) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		<-l.gate()
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			_ = from.Close()
			_ = to.Close()
			return
		}
	}
}

// processes adds what can be done to servers.
type processes struct {
	*harness
	t       *testing.T
	servers *zkserver.Ensemble
}

func (p processes) Kill(server int) error   { p.servers.Servers[server].Kill(); return nil }
func (p processes) Start(server int) error  { p.servers.Servers[server].Restart(p.t); return nil }
func (p processes) Pause(server int) error  { p.servers.Servers[server].Pause(p.t); return nil }
func (p processes) Resume(server int) error { p.servers.Servers[server].Resume(p.t); return nil }

func (p processes) Leader() (int, error) {
	for i, server := range p.servers.Servers {
		if server.Mode() == "leader" {
			return i, nil
		}
	}
	return 0, errors.New("no server leads")
}
