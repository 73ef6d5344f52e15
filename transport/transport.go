// Package transport carries calls between nodes over TCP: an [Endpoint] is the [object.Transport] of its node, and has
// the node's handler serve what comes from others.
//
// A node has one connection to each address that it calls, dialled at the first call. All calls share it: requests carry an
// id, and answers come in any order. Whoever has something to send while nobody writes also writes what others have queued
// meanwhile, so that under load many calls share one system call.
//
// # What a caller is told
//
// A handler's errors come back as an [*object.RemoteError], which matches what they would match in a local call. A call that
// surely did not run matches [object.ErrUnavailable]: no connection was had, the request was not sent in full, or was refused.
// One that may have run matches [object.ErrUnknownOutcome]. Never both. When that is because the caller's context has ended,
// it matches the context's error too; the handler's context then ends soon after. When it is because of the member, the error is an
// [*object.UnreachableError], which tells whether the member is gone, silent, or alive but takes no calls.
//
// # What is bounded
//
// Frames by [Config.MaxFrame], calls in flight on a connection by [Config.MaxInFlight], connections from others by
// [Config.MaxConns], what waits to be written on a connection by 256 KiB and a frame: callers wait for room, and so do answers
// to a peer that does not read. So a peer can make a node hold MaxInFlight frames, and as many answers.
//
// # Starting to read
//
// frame.go, codec.go and handshake.go are what is on the wire. link.go is one connection, client.go the side that dialled,
// server.go the one that listens.
package transport

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// Defaults and limits of [Config].
const (
	DefaultMaxFrame    = 4<<20 + 256<<10 // a state of 4 MiB, and what goes with it
	MinFrame           = 64 << 10
	DefaultMaxInFlight = 4096
	DefaultMaxConns    = 1024
	DefaultSilence     = time.Second
)

// A Handler serves requests that come from other nodes, as [object.Host.Handle] does. It is called concurrently. Its context ends
// with the caller's, and with the connection. It must not panic.
type Handler func(ctx context.Context, r *object.Request) (reply []byte, err error)

// A Config says how an endpoint works. Only Cluster must be set.
type Config struct {
	Cluster string  // nodes of other clusters are refused; 1 to [MaxClusterBytes] bytes
	Handler Handler // nil: the node cannot listen

	// AllowPlaintext permits to listen on addresses that other machines can reach, although nothing is encrypted and nobody proves
	// who they are: whoever reaches the address can read and write all objects.
	AllowPlaintext bool

	MaxFrame    int // bytes of a frame that this node takes, headers included, at least [MinFrame]; 0: [DefaultMaxFrame]
	MaxInFlight int // calls in flight on a connection, either way; 0: [DefaultMaxInFlight]
	MaxConns    int // connections from others, those that shake hands included; 0: [DefaultMaxConns]

	// Silence is how long a peer may leave pings unanswered before its connection, and the calls on it, are given up; how long it may take to shake
	// hands; and half of how long connecting may take. At least 10 ms; 0: [DefaultSilence].
	Silence time.Duration

	Log *slog.Logger // of peers that were refused or lost; nil: discarded

	// Dial connects to an address until ctx ends, and Listen listens on one. Errors of Dial and of connections tell by what they match
	// whether a member is gone (a connection was refused or reset) or silent (a timeout). Nil: TCP, as package net does both.
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Listen func(address string) (net.Listener, error)
}

func (c *Config) setDefaults() error {
	c.MaxFrame = cmp.Or(c.MaxFrame, DefaultMaxFrame)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, DefaultMaxInFlight)
	c.MaxConns = cmp.Or(c.MaxConns, DefaultMaxConns)
	c.Silence = cmp.Or(c.Silence, DefaultSilence)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	switch {
	case c.Cluster == "" || len(c.Cluster) > MaxClusterBytes:
		return fmt.Errorf("transport: the cluster's name has %d bytes: give it 1 to %d", len(c.Cluster), MaxClusterBytes)
	case c.MaxFrame < MinFrame || c.MaxFrame > 1<<30:
		return fmt.Errorf("transport: MaxFrame is %d bytes: use %d to %d", c.MaxFrame, MinFrame, 1<<30)
	case c.MaxInFlight < 0 || c.MaxInFlight > 1<<30 || c.MaxConns < 0:
		return fmt.Errorf("transport: MaxInFlight is %d, MaxConns %d: use at least 1", c.MaxInFlight, c.MaxConns)
	case c.Silence < 10*time.Millisecond:
		return fmt.Errorf("transport: Silence is %v: use at least 10ms", c.Silence)
	}
	return nil
}

// An Endpoint is a node's end of its connections. It may be used concurrently. It must be closed.
type Endpoint struct {
	config      Config
	incarnation atomic.Pointer[uuid.UUID]
	calls       sync.Pool // of *call; an endpoint's own, as their channels are its test bubble's

	over     context.Context // ends with Close
	close    context.CancelFunc
	draining context.Context // ends with Drain or Close
	drain    context.CancelFunc

	mu      sync.RWMutex // held when over and draining end
	peers   map[string]*peer
	inbound chan struct{}  // holds one for each connection from others
	running sync.WaitGroup // all goroutines
	serving sync.WaitGroup // connections from others that requests may come on
}

// New returns an endpoint that calls others. It takes calls once [Endpoint.Listen] was called.
func New(config Config) (*Endpoint, error) {
	if err := config.setDefaults(); err != nil {
		return nil, err
	}
	e := &Endpoint{config: config, peers: make(map[string]*peer), inbound: make(chan struct{}, config.MaxConns)}
	e.calls.New = func() any { return &call{done: make(chan struct{}, 1)} }
	e.over, e.close = context.WithCancel(context.Background())
	e.draining, e.drain = context.WithCancel(e.over)
	e.SetIncarnation(uuid.Nil)
	return e, nil
}

// SetIncarnation says who this node is from now on. Calls to any other incarnation are refused.
func (e *Endpoint) SetIncarnation(id uuid.UUID) { e.incarnation.Store(&id) }

func (e *Endpoint) here() uuid.UUID { return *e.incarnation.Load() }

// Drain refuses requests from now on, tells those who are connected to send no more, and waits until they say that they have got
// all answers, until ctx ends. Pings are still answered, and calls can still be made.
func (e *Endpoint) Drain(ctx context.Context) error {
	e.mu.Lock()
	e.drain()
	e.mu.Unlock()
	done := make(chan struct{})
	if !e.spawn(func() { e.serving.Wait(); close(done) }) {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("transport: some requests were still being served, close to cut them off: %w", ctx.Err())
	}
}

// Close ends all connections and calls, and the contexts of handlers, and waits until the handlers have returned.
func (e *Endpoint) Close() error {
	e.mu.Lock()
	e.close()
	e.mu.Unlock()
	e.running.Wait()
	return nil
}

// spawn starts a goroutine that Close waits for, unless Close was called.
func (e *Endpoint) spawn(f func()) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	open := e.over.Err() == nil
	if open {
		e.running.Go(f)
	}
	return open
}

// hello is what this node says of itself to those who take requests from it.
func (e *Endpoint) hello() hello {
	return hello{version: version, self: e.here(), frame: e.config.MaxFrame, cluster: e.config.Cluster}
}
