package transport

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/highlander-go/highlander/object"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open returns an endpoint that is closed with the test. What is not set is good for most tests.
func open(t testing.TB, c Config) *Endpoint {
	t.Helper()
	if c.Cluster == "" {
		c.Cluster = "test"
	}
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	e.SetIncarnation(uuid.New())
	t.Cleanup(func() { e.Close() })
	return e
}

// listen has e take calls on a loopback address, and returns it as a member.
func listen(t testing.TB, e *Endpoint) object.Member {
	t.Helper()
	a, err := e.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return object.Member{Incarnation: e.here(), Name: "b", Address: a.String()}
}

func echo(_ context.Context, r *object.Request) ([]byte, error) { return r.Args, nil }

func ask(args string) *object.Request {
	return &object.Request{Key: object.Key{Type: "list", ID: "l"}, Method: "Add", Args: []byte(args)}
}

// A network of net.Pipes, for bubbles of synctest. It is a listener.
type network struct {
	conns chan net.Conn
	once  sync.Once
	over  chan struct{}
	wrap  func(net.Conn) net.Conn // the dialling side
	dials int
}

func newNetwork() *network {
	return &network{conns: make(chan net.Conn), over: make(chan struct{}), wrap: func(c net.Conn) net.Conn { return c }}
}

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.dials++ // attempts are made one after the other
	a, b := net.Pipe()
	select {
	case n.conns <- b:
		return n.wrap(a), nil
	case <-n.over:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.over:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error   { n.once.Do(func() { close(n.over) }); return nil }
func (n *network) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func greet(nc net.Conn, own hello) (hello, error) {
	return shakeHands(context.Background(), nc, time.Time{}, own, true)
}

func welcome(nc net.Conn, own hello) (hello, error) {
	return shakeHands(context.Background(), nc, time.Time{}, own, false)
}

// dialRaw shakes hands with e as a node that the test plays.
func dialRaw(t testing.TB, to object.Member) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", to.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if _, err := greet(nc, rawHello()); err != nil {
		t.Fatal(err)
	}
	return nc
}

func rawHello() hello {
	return hello{version: version, self: uuid.New(), frame: DefaultMaxFrame, inFlight: DefaultMaxInFlight, cluster: "test"}
}

// acceptRaw listens as a node that the test plays: play is called with each connection after the handshake.
func acceptRaw(t testing.TB, play func(net.Conn)) object.Member {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := rawHello()
	var running sync.WaitGroup
	running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer nc.Close()
				if _, err := welcome(nc, own); err == nil {
					play(nc)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	return object.Member{Incarnation: own.self, Name: "raw", Address: l.Addr().String()}
}

// A journal is a log that tests look at.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }
