package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/internal/zk/zkserver"
)

// A network is a way to the servers that can be cut.
type network struct {
	mu    sync.Mutex
	down  bool
	dials int
	conns []net.Conn
}

func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dials++
	if n.down {
		return nil, errors.New("the network is down")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		n.conns = append(n.conns, conn)
	}
	return conn, err
}

// set cuts all connections, and lets new ones through or not.
func (n *network) set(down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = down
	for _, conn := range n.conns {
		_ = conn.Close()
	}
	n.conns = nil
}

// However often no server can be reached, a request waits as long as its caller does.
func TestRequestWaitsForAConnection(t *testing.T) {
	server, way := newFake(t), &network{}
	s, events := open(t, newEnsemble(t, []string{server.addr()}, Options{Dial: way.dial}), 6*time.Second)
	way.set(true)
	events.await(t, zk.Event{Type: zk.Disconnected}, 1)
	answer := make(chan error, 1)
	go func() { answer <- s.Delete(within(t, patience), "/a", 0) }()
	await(t, "the request is with the library", func() bool { return len(s.turn) == 1 })
	attempts := func() int { way.mu.Lock(); defer way.mu.Unlock(); return way.dials }
	before := attempts()
	await(t, "more attempts to connect fail", func() bool { return attempts() > before+4 })
	way.set(false)
	if err := <-answer; err != nil {
		t.Errorf("Delete: %v", err)
	}
}

func TestRequestHonoursItsContextWhileDisconnected(t *testing.T) {
	server, net := newFake(t), &network{}
	s, events := open(t, newEnsemble(t, []string{server.addr()}, Options{Dial: net.dial}), 6*time.Second)
	net.set(true)
	events.await(t, zk.Event{Type: zk.Disconnected}, 1)
	before := runtime.NumGoroutine()
	for range 2000 {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Microsecond)
		if err := s.Set(ctx, "/a", nil, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Set without a connection: %v", err)
		}
		cancel()
	}
	if now := runtime.NumGoroutine(); now > before+10 {
		t.Errorf("requests that were given up have left %d goroutines", now-before)
	}
	net.set(false)
	if err := s.Set(within(t, patience), "/a", nil, 0); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Set after that: %v", err) // the fake's answer has no body, so an error is right
	}
}

// A server that takes requests and answers none holds as many goroutines as may be in flight, and Close ends them.
func TestRequestsInFlightAreBounded(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server := newFake(t)
	var taken atomic.Int32
	server.serve = func(*fakeConn, int32, int32, []byte) error { taken.Add(1); return nil }
	s, _ := open(t, newEnsemble(t, []string{server.addr()}, Options{}), 60*time.Second)
	ctx, giveUp := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 3 * maxInFlight {
		callers.Go(func() {
			if err := s.Delete(ctx, "/a", 0); !errors.Is(err, context.Canceled) {
				t.Errorf("Delete: %v", err)
			}
		})
	}
	await(t, "requests reach the server", func() bool { return taken.Load() == maxInFlight })
	before := runtime.NumGoroutine()
	giveUp()
	callers.Wait()
	if now := runtime.NumGoroutine(); now > before-2*maxInFlight {
		t.Errorf("%d goroutines before the requests were given up, %d after", before, now)
	}
	if n := taken.Load(); n != maxInFlight {
		t.Errorf("%d requests have reached the server, not %d", n, maxInFlight)
	}
	if err := s.Close(within(t, 50*time.Millisecond)); err == nil || !strings.Contains(err.Error(), "until it expires") {
		t.Errorf("Close with a server that does not answer: %v", err)
	}
	_ = server.listener.Close()
	server.disconnectAll()
	server.serving.Wait()
}

// Of two requests, one of which is made after the other was given up, the server sees the first one first, if at all.
func TestRequestsKeepTheirOrder(t *testing.T) {
	server := newFake(t)
	var seen []int // by the one connection
	server.serve = func(c *fakeConn, xid, op int32, body []byte) error {
		if op == opClose {
			return c.answer(xid, 0)
		}
		var n int
		if _, err := fmt.Sscanf(firstString(body), "/%d", &n); err == nil {
			seen = append(seen, n)
		}
		if rand.IntN(20) == 0 {
			time.Sleep(time.Millisecond) // the answer, and so what comes next, is late
		}
		return c.answer(xid, 0)
	}
	s, _ := open(t, newEnsemble(t, []string{server.addr()}, Options{}), 60*time.Second)
	last := 0
	for i := 1; i <= 3000; i++ {
		ctx, cancel := context.WithTimeout(t.Context(), rand.N(100*time.Microsecond))
		if s.Delete(ctx, fmt.Sprintf("/%d", i), 0) == nil {
			last = i
		}
		cancel()
	}
	if err := s.Close(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	server.disconnectAll()
	_ = server.listener.Close()
	server.serving.Wait()
	for i := 1; i < len(seen); i++ {
		if seen[i] <= seen[i-1] {
			t.Fatalf("request %d came after %d", seen[i], seen[i-1])
		}
	}
	t.Logf("of 3000 requests %d arrived; the last one that was answered was %d", len(seen), last)
}

// hung returns the address of a server that accepts connections and says nothing.
func hung(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

// The library by itself waits ten times two thirds of the session timeout for each of them.
func TestHungServersArePassedBy(t *testing.T) {
	server, net := newFake(t), &network{}
	const timeout = 1500 * time.Millisecond
	servers := []string{hung(t), hung(t), server.addr()}
	s, events := open(t, newEnsemble(t, servers, Options{Dial: net.dial}), timeout)
	began := time.Now()
	for i := range 5 {
		net.set(false)
		events.await(t, zk.Event{Type: zk.Connected}, i+2)
	}
	if took := time.Since(began); took > 10*timeout*2/3 { // what a single one of them may take
		t.Errorf("connecting anew five times has taken %v", took)
	}
	if s.Timeout() != timeout {
		t.Errorf("granted %v", s.Timeout())
	}
}

func TestOpenGivesUpWhenItsContextEnds(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = refused.Close()
	for name, address := range map[string]string{"hung": hung(t), "refused": refused.Addr().String(), "unknown host": "no.such.host.invalid:2181"} {
		_, err := newEnsemble(t, []string{address}, Options{}).Open(within(t, 100*time.Millisecond), time.Second, newJournal().add)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Open with a server that is %s: %v", name, err)
		}
	}
}

// A server that lags behind what the client has seen, or is read-only, closes the connection instead of answering the handshake.
func TestRefusingServersArePassedBy(t *testing.T) {
	server, refusing, net := newFake(t), newFake(t), &network{}
	var refused atomic.Int32
	refusing.greet = func(int64) int64 { refused.Add(1); return -1 }
	_, events := open(t, newEnsemble(t, []string{refusing.addr(), server.addr()}, Options{Dial: net.dial}), 6*time.Second)
	for i := range 4 {
		net.set(false)
		events.await(t, zk.Event{Type: zk.Connected}, i+2)
	}
	if refused.Load() < 2 {
		t.Errorf("the refusing server was asked %d times: the test shows nothing", refused.Load())
	}
}

// A server that refuses at once is not asked all the time.
func TestRefusingServerIsAskedNowAndThen(t *testing.T) {
	refusing := newFake(t)
	var asked atomic.Int32
	refusing.greet = func(int64) int64 { asked.Add(1); return -1 }
	_, err := newEnsemble(t, []string{refusing.addr()}, Options{}).Open(within(t, 300*time.Millisecond), 6*time.Second, newJournal().add)
	if err == nil || asked.Load() == 0 || asked.Load() > 10 {
		t.Errorf("Open: %v; in 300 ms the server was asked %d times", err, asked.Load())
	}
}

// The library reads a request's data when it sends it, which may be after the request was given up.
func TestDataMayBeChangedAfterTheRequestWasGivenUp(t *testing.T) {
	server, way := newFake(t), &network{}
	written := make(chan []byte, 3)
	server.serve = func(c *fakeConn, xid, op int32, body []byte) error {
		if op != opClose && firstString(body) != "/" {
			written <- body
		}
		return c.answer(xid, 0)
	}
	s, events := open(t, newEnsemble(t, []string{server.addr()}, Options{Dial: way.dial}), 6*time.Second)
	data := []byte("as it was given")
	for i, request := range []func(context.Context) error{
		func(ctx context.Context) error { return s.Set(ctx, "/a", data, 0) },
		func(ctx context.Context) error { _, err := s.Create(ctx, "/a", data, zk.Persistent); return err },
		func(ctx context.Context) error { return s.Multi(ctx, zk.SetOp("/a", data, 0)) },
	} {
		copy(data, "as it was given")
		way.set(true)
		events.await(t, zk.Event{Type: zk.Disconnected}, i+1)
		ctx, giveUp := context.WithCancel(t.Context())
		go func() {
			await(t, "the request is with the library", func() bool { return len(s.turn) == 1 })
			giveUp()
		}()
		if err := request(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a request without a connection: %v", err)
		}
		copy(data, "something other")
		way.set(false)
		events.await(t, zk.Event{Type: zk.Connected}, i+2)
		select {
		case body := <-written:
			if !strings.Contains(string(body), "as it was given") {
				t.Errorf("request %d was sent with other data than it was made with: %q", i, body)
			}
		case <-time.After(patience):
			t.Fatal("the request never came")
		}
	}
}

func TestHostsAreLookedUpAtEachConnect(t *testing.T) {
	here, there, way := newFake(t), newFake(t), &network{}
	e := newEnsemble(t, []string{"zookeeper.example:2181"}, Options{})
	var moved atomic.Bool
	e.lookup = func(_ context.Context, host string) ([]string, error) {
		if host != "zookeeper.example" {
			t.Errorf("looked up %q", host)
		}
		if moved.Load() {
			return []string{"192.0.2.2"}, nil
		}
		return []string{"192.0.2.1"}, nil
	}
	e.dial = func(ctx context.Context, _, address string) (net.Conn, error) {
		return way.dial(ctx, "tcp", map[string]string{"192.0.2.1:2181": here.addr(), "192.0.2.2:2181": there.addr()}[address])
	}
	reached := make(chan struct{})
	there.greet = func(id int64) int64 { close(reached); return id }
	_, _ = open(t, e, 6*time.Second)
	moved.Store(true)
	way.set(false)
	select {
	case <-reached:
	case <-time.After(patience):
		t.Error("the new address was not tried")
	}
}

func TestServersMustBeNamed(t *testing.T) {
	for _, servers := range [][]string{nil, {"localhost"}, {"localhost:2181", ""}, {":2181"}, {"localhost:"}} {
		if _, err := New(servers, Options{}); err == nil {
			t.Errorf("New(%q) has accepted that", servers)
		}
	}
	e := newEnsemble(t, []string{"localhost:2181"}, Options{})
	for _, timeout := range []time.Duration{0, -time.Second, time.Microsecond, 1 << 62} {
		if _, err := e.Open(t.Context(), timeout, newJournal().add); err == nil {
			t.Errorf("Open with a session timeout of %v has succeeded", timeout)
		}
	}
}

func TestRequestTooLongIsRefused(t *testing.T) {
	s, events := open(t, newEnsemble(t, zkserver.Addrs(t), Options{}), 30*time.Second)
	dir := root(t, s)
	fits := make([]byte, maxRequest-overhead-len(dir)-2)
	longer := append(fits, 0)
	if _, err := s.Create(t.Context(), dir+"/a", fits, zk.Persistent); err != nil {
		t.Errorf("Create with the longest data: %v", err)
	}
	if err := s.Set(t.Context(), dir+"/a", fits, 0); err != nil {
		t.Errorf("Set with the longest data: %v", err)
	}
	_, err := s.Create(t.Context(), dir+"/b", longer, zk.Persistent)
	for what, err := range map[string]error{
		"create":       err,
		"set":          s.Set(t.Context(), dir+"/a", longer, zk.AnyVersion),
		"multi":        s.Multi(t.Context(), zk.SetOp(dir, fits[:600_000], zk.AnyVersion), zk.SetOp(dir, fits[:600_000], zk.AnyVersion)),
		"a long path":  s.Delete(t.Context(), dir+strings.Repeat("x", maxRequest), 0),
		"invalid path": s.Delete(t.Context(), "x", 0),
	} {
		if err == nil || !is(err, nil) {
			t.Errorf("%s: %v", what, err)
		}
	}
	var large []zk.Op
	for i := range 7000 {
		large = append(large, zk.CreateOp(fmt.Sprintf("%s/n%07d", dir, i), make([]byte, 40), zk.Persistent))
	}
	if err := s.Multi(t.Context(), large...); err != nil {
		t.Errorf("a multi that fits: %v", err)
	}
	if n := events.count(zk.Event{Type: zk.Disconnected}); n > 0 {
		t.Errorf("the server has closed the connection %d times", n)
	}
	for _, op := range []zk.Op{zk.CreateOp(dir+"/c", nil, zk.Container), {Kind: 9, Path: dir}, zk.CreateOp(dir+"/c", nil, 9)} {
		if err := s.Multi(t.Context(), op); err == nil {
			t.Errorf("a multi has accepted %+v", op)
		}
	}
	if _, err := s.Create(t.Context(), dir+"/c", nil, 9); err == nil {
		t.Error("Create has accepted a mode that there is not")
	}
}
