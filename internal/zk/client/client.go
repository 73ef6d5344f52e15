// Package client is [zk.Ensemble] over github.com/go-zookeeper/zk.
//
// The library does much that the contract forbids: it goes on with a new session when the old one has expired, lets a request that
// waits for a connection wait for ever, drops events, keeps the channel of every watch. What keeps it in bounds sits where it meets the network: a
// session hands it connections that read what goes by, and change a little of it (see conn.go), and requests one at a time (see session.go).
package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	gozk "github.com/go-zookeeper/zk"

	"github.com/highlander-go/highlander/internal/zk"
)

// Options are what [New] can do without.
type Options struct {
	// Logger is told about connections, at level Debug, and at level Warn that Open waits for a long time. Nil: nobody is told.
	Logger *slog.Logger

	// Dial opens a connection to host:port, until ctx ends; the host is an IP address. Nil: a [net.Dialer] does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// An Ensemble opens sessions. Its methods may be called concurrently.
type Ensemble struct {
	servers []string
	log     *slog.Logger
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	lookup  func(ctx context.Context, host string) ([]string, error)
}

var _ zk.Ensemble = (*Ensemble)(nil)

// New returns the ensemble of these servers, each as host:port. Names of hosts are looked up each time that one is connected to.
func New(servers []string, options Options) (*Ensemble, error) {
	if len(servers) == 0 {
		return nil, errors.New("zookeeper: no servers: name at least one as host:port")
	}
	for _, server := range servers {
		if host, port, err := net.SplitHostPort(server); err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("zookeeper: server %q is not of the form host:port", server)
		}
	}
	e := &Ensemble{servers: slices.Clone(servers), log: options.Logger, dial: options.Dial, lookup: net.DefaultResolver.LookupHost}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.dial == nil {
		e.dial = (&net.Dialer{}).DialContext
	}
	return e, nil
}

// Open establishes a new session, see [zk.Ensemble].
func (e *Ensemble) Open(ctx context.Context, timeout time.Duration, events func(zk.Event)) (zk.Session, error) {
	if timeout < time.Millisecond || timeout.Milliseconds() > math.MaxInt32 {
		return nil, fmt.Errorf("zookeeper: a session timeout of %v cannot be asked for", timeout)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("zookeeper: no session: %w", ctx.Err())
	}
	s := newSession(e, timeout, events)
	lib, libEvents, err := gozk.Connect(e.servers, timeout,
		gozk.WithDialer(s.dial), gozk.WithHostProvider(&s.hosts), gozk.WithEventCallback(s.libraryEvent),
		gozk.WithLogger(printf{e.log}), gozk.WithLogInfo(false))
	if err != nil {
		return nil, fmt.Errorf("zookeeper: %w", err)
	}
	s.lib = lib
	go func() {
		for range libEvents { // the callback has had them all
		}
		close(s.libraryDone)
	}()
	late := time.NewTimer(waitsQuietly)
	defer late.Stop()
	for {
		select {
		case <-s.ready:
			return s, nil
		case <-late.C:
			e.log.Warn("still waiting for ZooKeeper", "servers", e.servers, "error", s.lastFailure())
			late.Reset(waitsBetween)
		case <-ctx.Done():
			cause := s.lastFailure()
			s.quiet.Store(true)
			s.end()
			return nil, fmt.Errorf("zookeeper: no session from any of %v: %w; the last attempt: %w", e.servers, ctx.Err(), cause)
		}
	}
}

// Open may be called without a deadline: how long it waits before the log says so for the first time, and then between one time and the next.
const (
	waitsQuietly = 5 * time.Second
	waitsBetween = 30 * time.Second
)

// hosts gives the library one server after the other. Only the library's connecting goroutine uses it.
type hosts struct {
	s       *session
	servers []string
	next    int
	tried   int // attempts since the last connection that succeeded
}

// Init, Len, Next and Connected implement the library's HostProvider.
func (h *hosts) Init(servers []string) error { // they come shuffled
	h.servers = servers
	return nil
}

func (h *hosts) Len() int { return len(h.servers) }

// Next returns the next server. It never says that all have been tried: then the library fails the requests that wait, and sleeps. What
// is said so when the session has ended, though, for the library looks only then whether it is to stop.
func (h *hosts) Next() (server string, allTried bool) {
	if h.s.ctx.Err() != nil {
		h.s.park()
		return h.servers[0], true
	}
	server = h.servers[h.next]
	h.next = (h.next + 1) % len(h.servers)
	h.tried++
	return server, false
}

func (h *hosts) Connected() { h.tried = 0 }

// dial opens a connection for the library. An attempt, its handshake included, may take a third of the session timeout divided by the number of
// servers, for a connection that is found dead at two thirds of the session timeout must be replaced in the last third, past servers that
// hang. Each round without success doubles that, so that servers which are merely slow are reached in the end.
func (s *session) dial(network, address string, _ time.Duration) (net.Conn, error) {
	const pause, longest = 50 * time.Millisecond, 500 * time.Millisecond
	count := len(s.hosts.servers)
	round := min((s.hosts.tried-1)/count, 10)
	if round > 0 && (s.hosts.tried-1)%count == 0 {
		limit := min(longest, pause<<round)
		select {
		case <-time.After(limit/2 + rand.N(limit/2)): // not all clients at once
		case <-s.ctx.Done():
		}
	}
	timeout := s.Timeout()
	ctx, cancel := context.WithTimeout(s.ctx, min(timeout, timeout/time.Duration(3*count)<<round))
	defer cancel()
	inner, err := s.connect(ctx, network, address)
	if err != nil {
		return nil, s.failed(fmt.Errorf("connect to %s: %w", address, err))
	}
	deadline, _ := ctx.Deadline()
	c, err := newConn(s, inner, deadline)
	if err == nil {
		err = s.use(c)
	}
	if err != nil {
		_ = inner.Close()
		return nil, s.failed(fmt.Errorf("connect to %s: %w", address, err))
	}
	return c, nil
}

// connect looks the name up and connects to one of its addresses, whichever: one that always refuses must not stand before the others.
func (s *session) connect(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addresses, err := s.ensemble.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	if len(addresses) == 0 {
		return nil, fmt.Errorf("%s has no address", host)
	}
	return s.ensemble.dial(ctx, network, net.JoinHostPort(addresses[rand.IntN(len(addresses))], port))
}

// printf is a logger as the library wants it.
type printf struct{ log *slog.Logger }

func (p printf) Printf(format string, args ...any) {
	if p.log.Enabled(context.Background(), slog.LevelDebug) {
		p.log.Debug("zookeeper: " + fmt.Sprintf(format, args...))
	}
}
