// Package transport carries calls between nodes over TCP: an [Endpoint] is the [object.Transport] of its node, and has
// the node's handler serve what comes from others.
//
// A node has one connection to each node that it calls, dialled at the first call and closed when it is idle. All calls
// share it: requests carry an id, and answers come in any order. Whoever has something to send while nobody writes
// also writes what others have queued meanwhile, so that under load many calls share one system call.
//
// # What a caller is told
//
// A handler's errors come back as they would in a local call: see [RemoteError]. A call that surely did not run matches
// [object.ErrUnavailable]: no connection was had, the request was not sent in full, or was refused. One that may
// have run matches [object.ErrUnknownOutcome]. Never both. When that is because the caller's context has ended,
// it matches the context's error too; the handler's context then ends soon after.
//
// # What is bounded
//
// Frames by [Config.MaxFrame], calls in flight on a connection by [Config.MaxInFlight], connections from others by
// [Config.MaxConns], what waits to be written on a connection by 256 KiB and a frame: callers wait for room, and requests of a peer that
// does not read its answers are not read. So a peer can make a node hold MaxInFlight frames, and as many answers.
//
// # Starting to read
//
// frame.go and handshake.go are what is on the wire, codec.go and errors.go what requests and failures look like. link.go is one
// connection; client.go and peer.go are the side that dialled, server.go the one that listens.
package transport

import (
	"cmp"
	"context"
	"errors"
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
	DefaultMaxFrame         = 4<<20 + 256<<10 // a state of 4 MiB, and what goes with it
	MinFrame                = 64 << 10
	DefaultMaxInFlight      = 4096
	DefaultMaxConns         = 1024
	DefaultHandshakeTimeout = 5 * time.Second
	DefaultSilence          = 3 * time.Second
	DefaultIdleTimeout      = 5 * time.Minute
)

// A Handler serves requests that come from other nodes, as [object.Host.Handle] does. It is called concurrently. Its context ends
// with the caller's, and with the connection. It must not panic.
type Handler func(ctx context.Context, r *object.Request) (reply []byte, err error)

// A Config says how an endpoint works. Only Cluster must be set.
type Config struct {
	Cluster     string    // nodes of other clusters are refused; 1 to [MaxClusterBytes] bytes
	Incarnation uuid.UUID // this node's; may follow by [Endpoint.SetIncarnation]
	Handler     Handler   // nil: nothing is served

	// AllowPlaintext permits to listen on addresses that other machines can reach, although nothing is encrypted and nobody proves
	// who they are: whoever reaches the address can read and write all objects.
	AllowPlaintext bool

	MaxFrame         int           // bytes of a frame that this node takes, headers included, at least [MinFrame]; 0: [DefaultMaxFrame]
	MaxInFlight      int           // calls in flight on a connection, either way; 0: [DefaultMaxInFlight]
	MaxConns         int           // connections from others, those that shake hands included; 0: [DefaultMaxConns]
	HandshakeTimeout time.Duration // for dialling and shaking hands together; 0: [DefaultHandshakeTimeout]
	Silence          time.Duration // how long a peer may be neither heard nor read; pinged at thirds of it; 0: [DefaultSilence]
	IdleTimeout      time.Duration // after which a connection without calls is closed; 0: [DefaultIdleTimeout]

	// Dial connects to a member's address. Nil: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	Log *slog.Logger // of peers that were refused or lost; nil: discarded
}

func (c *Config) setDefaults() error {
	c.MaxFrame = cmp.Or(c.MaxFrame, DefaultMaxFrame)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, DefaultMaxInFlight)
	c.MaxConns = cmp.Or(c.MaxConns, DefaultMaxConns)
	c.HandshakeTimeout = cmp.Or(c.HandshakeTimeout, DefaultHandshakeTimeout)
	c.Silence = cmp.Or(c.Silence, DefaultSilence)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, DefaultIdleTimeout)
	if c.Dial == nil {
		c.Dial = (&tcpDialer{net.Dialer{KeepAliveConfig: keepAlive}}).dial
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.Cluster == "" || len(c.Cluster) > MaxClusterBytes:
		return fmt.Errorf("transport: the cluster's name has %d bytes: give it 1 to %d", len(c.Cluster), MaxClusterBytes)
	case c.MaxFrame < MinFrame || c.MaxFrame > 1<<30:
		return fmt.Errorf("transport: MaxFrame is %d bytes: use %d to %d", c.MaxFrame, MinFrame, 1<<30)
	case c.MaxInFlight < 0 || c.MaxInFlight > 1<<30 || c.MaxConns < 0:
		return fmt.Errorf("transport: MaxInFlight is %d, MaxConns %d: use at least 1", c.MaxInFlight, c.MaxConns)
	case c.HandshakeTimeout < 0 || c.Silence < quietTicks*time.Millisecond || c.IdleTimeout < 0:
		return fmt.Errorf("transport: HandshakeTimeout is %v, Silence %v, IdleTimeout %v: none may be negative, Silence not below %v",
			c.HandshakeTimeout, c.Silence, c.IdleTimeout, quietTicks*time.Millisecond)
	}
	return nil
}

// tick is how often links look after themselves.
func (c *Config) tick() time.Duration { return c.Silence / quietTicks }

// keepAlive has the kernel find out about peers that have gone, beside the pings of links.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

type tcpDialer struct{ net.Dialer }

func (d *tcpDialer) dial(ctx context.Context, address string) (net.Conn, error) {
	return d.DialContext(ctx, "tcp", address)
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

	mu       sync.RWMutex
	closed   bool
	peers    map[peerKey]*peer
	inbound  int            // connections from others
	running  sync.WaitGroup // all goroutines
	incoming sync.WaitGroup // those that accept connections, and those of the accepted ones
}

// New returns an endpoint that calls others. It takes calls once [Endpoint.Listen] or [Endpoint.Serve] was called.
func New(config Config) (*Endpoint, error) {
	if err := config.setDefaults(); err != nil {
		return nil, err
	}
	e := &Endpoint{config: config, peers: make(map[peerKey]*peer)}
	e.calls.New = func() any { return &call{done: make(chan struct{}, 1)} }
	e.over, e.close = context.WithCancel(context.Background())
	e.draining, e.drain = context.WithCancel(e.over)
	e.SetIncarnation(config.Incarnation)
	return e, nil
}

// SetIncarnation says who this node is from now on: after it has joined the registry, again if it had lost it. Connections that began
// under another incarnation take no more calls.
func (e *Endpoint) SetIncarnation(id uuid.UUID) { e.incarnation.Store(&id) }

// Drain stops taking connections and requests, tells those who are connected to send no more, and waits for the requests that run
// and for the connections to be closed by those who dialled them, until ctx ends. Calls can still be made.
func (e *Endpoint) Drain(ctx context.Context) error {
	e.drain()
	done := make(chan struct{})
	if !e.spawn(func() { e.incoming.Wait(); close(done) }) {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("transport: some requests were still being served, close to cut them off: %w", ended(ctx))
	}
}

// Close ends all connections and calls, and the contexts of handlers, and waits until the handlers have returned.
func (e *Endpoint) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.close()
	e.running.Wait()
	return nil
}

// spawn starts a goroutine that Close waits for, unless Close was called.
func (e *Endpoint) spawn(f func()) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if !e.closed {
		e.running.Go(f)
	}
	return !e.closed
}

// maxTries is how many connections a call tries that end before its request is queued.
const maxTries = 3

// Call has r handled by the member, as [object.Transport] says. It may be called concurrently; r and what it refers to
// must not change until it returns. The reply is not nil when err is.
func (e *Endpoint) Call(ctx context.Context, to object.Member, r *object.Request) (reply []byte, err error) {
	switch {
	case ctx.Err() != nil:
		return nil, unavailable(to, r, ended(ctx))
	case to.Address == "":
		return nil, unavailable(to, r, errors.New("it takes no calls: it has no address"))
	case len(r.Path) > MaxPath || len(r.Caller.Attributes) > MaxAttributes:
		return nil, unavailable(to, r, fmt.Errorf("%w: %d updates that wait for it, %d attributes of the caller; the limits are %d and %d",
			object.ErrTooLarge, len(r.Path), len(r.Caller.Attributes), MaxPath, MaxAttributes))
	}
	c := e.calls.Get().(*call)
	c.ctx = ctx
	for tries := 1; ; tries++ {
		l, err := e.connect(ctx, to)
		if err != nil {
			return nil, unavailable(to, r, err)
		}
		if err = l.call(c, to, r); err == nil {
			break
		} else if err != errStale {
			return nil, err // c is lost: it may be in the hands of whoever writes
		} else if tries == maxTries {
			return nil, unavailable(to, r, fmt.Errorf("%d connections were lost, one after the other, before the request could be sent", tries))
		}
	}
	reply, err = c.result(to, r)
	*c = call{done: c.done}
	e.calls.Put(c)
	return reply, err
}

// result is what the call's answer says to its caller.
func (c *call) result(to object.Member, r *object.Request) (reply []byte, err error) {
	switch {
	case c.err != nil && c.unsent:
		return nil, unavailable(to, r, fmt.Errorf("the connection was lost before the request was sent: %w", c.err))
	case c.err != nil:
		return nil, unknown(to, r, fmt.Errorf("the connection was lost: %w", c.err))
	case c.kind == kindReply:
		return c.payload, nil
	case c.kind == kindRefused && len(c.payload) == len(uuid.UUID{}):
		return nil, unavailable(to, r, &IncarnationError{to.Address, to.Incarnation, uuid.UUID(c.payload)})
	case c.kind == kindRefused:
		return nil, unavailable(to, r, errors.New("it takes no calls, or none any more: call the next owner"))
	case c.kind == kindFailure:
		failure, err := readFailure(c.payload)
		if err != nil {
			return nil, unknown(to, r, err)
		}
		return nil, failure
	}
	return nil, unknown(to, r, errors.New("the request was taken for cancelled"))
}
