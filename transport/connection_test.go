package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// A cutter passes on so many bytes each way and then cuts the connection.
type cutter struct {
	net.Conn
	mu            sync.Mutex
	reads, writes int
}

func (c *cutter) take(left *int, n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = min(n, *left)
	*left -= n
	return n
}

func (c *cutter) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b[:c.take(&c.writes, len(b))])
	if err == nil && n < len(b) {
		c.Conn.Close()
		err = syscall.ECONNRESET
	}
	return n, err
}

func (c *cutter) Read(b []byte) (int, error) {
	n := c.take(&c.reads, len(b))
	if n == 0 {
		c.Conn.Close()
		return 0, syscall.ECONNRESET
	}
	return c.Conn.Read(b[:n])
}

// Wherever the connection is cut, the caller is told unavailable if and only if the request was not sent in full.
func TestAConnectionCutAnywhere(t *testing.T) {
	var ran atomic.Int64
	e := open(t, Config{Handler: func(_ context.Context, r *object.Request) ([]byte, error) {
		ran.Add(1)
		return r.Args, nil
	}})
	to := listen(t, e)
	r := ask("0123456789")
	greeting := len(rawHello().append(nil))
	sent := greeting + headerBytes + len(appendRequest(nil, uuid.Nil, r, 0))
	answered := greeting + headerBytes + len(r.Args)
	const all = 1 << 20
	for cut := range sent + answered + 2 {
		reads, writes := all, cut
		if cut > sent {
			reads, writes = cut-sent-1, all
		}
		before := ran.Load()
		client := open(t, Config{Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			nc, err := net.Dial("tcp", address)
			return &cutter{Conn: nc, reads: reads, writes: writes}, err
		}})
		reply, err := client.Call(t.Context(), to, r)
		client.Close()
		unavailable, unknown := errors.Is(err, object.ErrUnavailable), errors.Is(err, object.ErrUnknownOutcome)
		switch {
		case writes < sent || reads < greeting:
			if !unavailable || unknown || ran.Load() != before {
				t.Errorf("cut after %d bytes out and %d in: %v", writes, reads, err)
			}
		case reads < answered && reads > greeting:
			if unavailable || !unknown {
				t.Errorf("cut after %d bytes out and %d in: %v", writes, reads, err)
			}
		case reads == greeting: // cut while the request was on its way to be written
			if unavailable == unknown {
				t.Errorf("cut after %d bytes out and %d in: %v", writes, reads, err)
			}
		case err != nil || string(reply) != string(r.Args):
			t.Errorf("not cut, but %q, %v", reply, err)
		}
	}
}

// Of several requests written together those that were cut off did not run, and those before them may have.
func TestACutBetweenRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := rawHello()
		to := object.Member{Incarnation: own.self, Address: "b"}
		r := ask("0123456789")
		size := headerBytes + len(appendRequest(nil, uuid.Nil, r, 0))
		cut := make(chan struct{})
		begin := time.Now()
		client := open(t, Config{Silence: time.Hour, Dial: func(context.Context, string, string) (net.Conn, error) {
			a, b := net.Pipe()
			go func() {
				defer b.Close()
				welcome(b, own)
				<-cut // and so the first call is held up while it is written, and the others queue behind it
				io.CopyN(io.Discard, b, int64(3*size+size/2))
			}()
			return a, nil
		}})
		told := make(chan error, 10)
		for range cap(told) {
			go func() {
				_, err := client.Call(t.Context(), to, r)
				told <- err
			}()
		}
		synctest.Wait()
		close(cut)
		count := make(map[bool]int)
		for range cap(told) {
			err := <-told
			count[errors.Is(err, object.ErrUnavailable)]++
			if errors.Is(err, object.ErrUnavailable) == errors.Is(err, object.ErrUnknownOutcome) {
				t.Error(err)
			}
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("what was queued while the first call was written waited for %v", took)
		}
		if count[false] != 3 || count[true] != 7 {
			t.Errorf("3 requests were sent, but %d were told unknown, %d unavailable", count[false], count[true])
		}
		client.Close()
	})
}

// A peer that reads nothing: a call that is being written, one that is queued, and those that wait for room all end with their contexts.
func TestCallersAreNotHeldUpByAPeerThatStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		own := rawHello()
		to := object.Member{Incarnation: own.self, Address: "b"}
		go welcome(b, own)
		client := open(t, Config{Silence: time.Hour, Dial: func(context.Context, string, string) (net.Conn, error) { return a, nil }})
		large := ask(strings.Repeat("x", maxQueued))
		for _, want := range []error{object.ErrUnknownOutcome, object.ErrUnknownOutcome, object.ErrUnavailable, object.ErrUnavailable} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			begin := time.Now()
			_, err := client.Call(ctx, to, large)
			if !errors.Is(err, want) || !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Millisecond {
				t.Errorf("after %v: %v, not %v", time.Since(begin), err, want)
			}
			cancel()
		}
		client.Close()
		b.Close()
	})
}

// A hole lets bytes through until it is shut; then it swallows what is written, and nothing comes out, not even an end.
type hole struct {
	net.Conn
	shut     chan struct{}
	closed   chan struct{}
	once     sync.Once
	deadline time.Time
}

func (h *hole) Write(b []byte) (int, error) {
	select {
	case <-h.shut:
		return len(b), nil
	default:
		return h.Conn.Write(b)
	}
}

func (h *hole) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	select {
	case <-h.shut:
	default:
		return n, err
	}
	select {
	case <-time.After(time.Until(h.deadline)):
		return 0, os.ErrDeadlineExceeded
	case <-h.closed:
		return 0, net.ErrClosed
	}
}

func (h *hole) SetReadDeadline(d time.Time) error {
	h.deadline = d
	return h.Conn.SetReadDeadline(d)
}

func (h *hole) Close() error {
	h.once.Do(func() { close(h.closed) })
	return h.Conn.Close()
}

// Its handler's context ends too.
func TestASilentPeerIsNoticedOnBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocking()
		e := open(t, Config{Handler: b.handle})
		n := newNetwork()
		shut := make(chan struct{})
		n.wrap = func(c net.Conn) net.Conn { return &hole{Conn: c, shut: shut, closed: make(chan struct{})} }
		if err := e.listen(n); err != nil {
			t.Fatal(err)
		}
		client := open(t, Config{Dial: n.dial})
		to := object.Member{Incarnation: e.here(), Address: "b"}
		told := make(chan error, 1)
		go func() {
			_, err := client.Call(t.Context(), to, ask("wait"))
			told <- err
		}()
		<-b.begun
		time.Sleep(time.Hour) // of the bubble: pings keep the connection, and the call on it
		select {
		case err := <-told:
			t.Fatal(err)
		default:
		}
		close(shut)
		begin := time.Now()
		if err := <-told; suspected(err) != object.Silent || !errors.Is(err, object.ErrUnknownOutcome) || !errors.Is(err, ErrSilent) {
			t.Error(err)
		}
		if took := time.Since(begin); took < DefaultSilence || took > DefaultSilence*3/2 {
			t.Errorf("it took %v to find the peer silent", took)
		}
		<-b.ended
		client.Close()
		e.Close()
	})
}

// A peer that takes long to read a request is not silent, although it answers no ping before it has.
func TestASlowPeerIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		own := rawHello()
		var reading sync.WaitGroup
		reading.Go(func() {
			defer b.Close()
			welcome(b, own)
			slow := &slowReader{b}
			f := frameReader{r: newReader(slow), limit: DefaultMaxFrame}
			for {
				got, err := f.next()
				if err != nil {
					return
				}
				if got.kind == kindRequest {
					b.Write(appendFrame(nil, kindReply, got.id, nil))
				}
			}
		})
		client := open(t, Config{Dial: func(context.Context, string, string) (net.Conn, error) { return a, nil }})
		begin := time.Now()
		_, err := client.Call(t.Context(), object.Member{Incarnation: own.self, Address: "b"}, ask(strings.Repeat("x", 4<<20)))
		if err != nil || time.Since(begin) < 10*time.Second {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		client.Close()
		reading.Wait()
	})
}

type slowReader struct{ io.Reader }

func (r *slowReader) Read(b []byte) (int, error) {
	time.Sleep(100 * time.Millisecond)
	return r.Reader.Read(b[:min(len(b), chunkBytes/2)])
}

func TestCallersShareOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, Config{Handler: echo})
		n := newNetwork()
		client := open(t, Config{Dial: n.dial})
		to := object.Member{Incarnation: e.here(), Address: "b"}
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				if _, err := client.Call(t.Context(), to, ask("x")); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // all wait for the one that is being dialled
		if err := e.listen(n); err != nil {
			t.Fatal(err)
		}
		callers.Wait()
		if n.dials != 1 {
			t.Errorf("%d connections were dialled for 50 callers", n.dials)
		}
		client.Close()
		e.Close()
	})
}

func TestAFailureToConnectIsToldForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials int
		client := open(t, Config{Dial: func(context.Context, string, string) (net.Conn, error) {
			dials++
			return nil, fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
		}})
		to := object.Member{Incarnation: uuid.New(), Address: "b"}
		for again := range 3 {
			for range 10 {
				_, err := client.Call(t.Context(), to, ask("x"))
				if !errors.Is(err, object.ErrUnavailable) || !errors.Is(err, syscall.ECONNREFUSED) {
					t.Error(err)
				}
			}
			if dials != again+1 {
				t.Errorf("%d attempts to connect, %d expected", dials, again+1)
			}
			time.Sleep(redialAfter)
		}
		client.Close()
	})
}

// Who has no time to see another attempt fail is told why the last one did.
func TestACallThatIsNotConnectedInTimeSaysWhyNotBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		client := open(t, Config{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if dials++; dials == 1 {
				return nil, fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		to := object.Member{Incarnation: uuid.New(), Address: "b"}
		client.Call(t.Context(), to, ask("x"))
		time.Sleep(redialAfter)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := client.Call(ctx, to, ask("x"))
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "refused") {
			t.Error(err)
		}
		client.Close()
	})
}

// A peer that sends requests, or pings, and does not read the answers is served no more than it may have in flight.
func TestAPeerThatDoesNotReadItsAnswers(t *testing.T) {
	for _, kind := range []byte{kindRequest, kindPing} {
		synctest.Test(t, func(t *testing.T) {
			const most = 100
			var ran atomic.Int64
			e := open(t, Config{MaxInFlight: most, MaxFrame: MinFrame, Handler: func(context.Context, *object.Request) ([]byte, error) {
				ran.Add(1)
				return make([]byte, 32<<10), nil
			}})
			n := newNetwork()
			if err := e.listen(n); err != nil {
				t.Fatal(err)
			}
			nc, err := n.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			own := rawHello()
			own.frame = MinFrame
			if _, err := greet(nc, own); err != nil {
				t.Fatal(err)
			}
			for id := uint64(1); err == nil; id++ {
				if id > 1e6 {
					t.Fatal("a million was taken")
				}
				_, err = nc.Write(appendFrame(nil, kind, id, appendRequest(nil, e.here(), ask("x"), 0)))
				if kind == kindRequest {
					synctest.Wait() // it is handled, and waits for room for its reply
				}
			}
			e.Close()
			if n := ran.Load(); n > most+20 || kind == kindRequest && n < most/2 {
				t.Errorf("%d requests were served", n)
			}
			nc.Close()
		})
	}
}

func TestDrainLetsRequestsFinish(t *testing.T) {
	b := newBlocking()
	e := open(t, Config{Handler: b.handle})
	to := listen(t, e)
	client := open(t, Config{})
	told := make(chan error, 2)
	for range cap(told) {
		go func() {
			_, err := client.Call(t.Context(), to, ask("wait"))
			told <- err
		}()
		<-b.begun
	}
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Drain(short); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := client.Call(t.Context(), to, ask("x")); !errors.Is(err, object.ErrUnavailable) || errors.Is(err, object.ErrUnknownOutcome) {
		t.Errorf("while the node drains: %v", err)
	}
	close(b.release)
	if err := e.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if err := errors.Join(<-told, <-told); err != nil {
		t.Error(err)
	}
	other := open(t, Config{Handler: echo})
	if _, err := e.Call(t.Context(), listen(t, other), ask("x")); err != nil {
		t.Errorf("a call of the drained node: %v", err)
	}
}

func TestCallsDuringADrainHaveNotRunOrHaveSucceeded(t *testing.T) {
	for range 20 {
		e := open(t, Config{Handler: echo})
		to := listen(t, e)
		client := open(t, Config{})
		var callers sync.WaitGroup
		begun := make(chan struct{}, 8)
		for range cap(begun) {
			callers.Go(func() {
				for calls := 0; ; calls++ {
					_, err := client.Call(t.Context(), to, ask("x"))
					if errors.Is(err, object.ErrUnknownOutcome) {
						t.Error(err)
					}
					if err != nil {
						return
					}
					if calls == 10 {
						begun <- struct{}{}
					}
				}
			})
		}
		for range cap(begun) {
			<-begun
		}
		if err := e.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		callers.Wait()
		e.Close()
		client.Close()
	}
}

func TestCloseEndsCallsOfBothSides(t *testing.T) {
	b := newBlocking()
	e := open(t, Config{Handler: b.handle})
	to := listen(t, e)
	for _, closed := range []string{"caller", "owner"} {
		client := open(t, Config{})
		told := make(chan error, 1)
		go func() {
			_, err := client.Call(t.Context(), to, ask("wait"))
			told <- err
		}()
		<-b.begun
		if closed == "caller" {
			client.Close()
		} else {
			e.Close()
		}
		err := <-told
		if (suspected(err) == -1) != (closed == "caller") {
			t.Errorf("after the %s was closed the suspicion is %d: %v", closed, suspected(err), err)
		}
		if !errors.Is(err, object.ErrUnknownOutcome) || errors.Is(err, object.ErrClosed) || errors.Is(err, object.ErrUnavailable) {
			t.Error(err)
		}
		<-b.ended
		_, err = client.Call(t.Context(), to, ask("x"))
		if !errors.Is(err, object.ErrUnavailable) || errors.Is(err, object.ErrUnknownOutcome) || errors.Is(err, object.ErrClosed) != (closed == "caller") {
			t.Error(err)
		}
	}
	e.Close() // again
	if _, err := e.Listen("127.0.0.1:0"); !errors.Is(err, object.ErrClosed) {
		t.Errorf("listening after that: %v", err)
	}
	if err := e.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCloseWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		client := open(t, Config{Dial: n.dial})
		told := make(chan error, 1)
		go func() {
			_, err := client.Call(t.Context(), object.Member{Address: "b"}, ask("x"))
			told <- err
		}()
		synctest.Wait()
		client.Close()
		if err := <-told; !errors.Is(err, object.ErrUnavailable) || !errors.Is(err, object.ErrClosed) {
			t.Error(err)
		}
	})
}

// With a network of its own an endpoint takes calls at whatever address that gives it.
func TestListenOnANetworkThatIsGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		server := open(t, Config{Handler: echo, Listen: func(address string) (net.Listener, error) {
			if address != "anywhere" {
				return nil, net.UnknownNetworkError(address)
			}
			return n, nil
		}})
		if _, err := server.Listen("elsewhere"); !errors.As(err, new(net.UnknownNetworkError)) {
			t.Errorf("at an address that it does not have: %v", err)
		}
		a, err := server.Listen("anywhere")
		if err != nil || a.String() != "pipe" {
			t.Fatal(a, err)
		}
		client := open(t, Config{Dial: n.dial})
		reply, err := client.Call(t.Context(), object.Member{Incarnation: server.here(), Address: a.String()}, ask("x"))
		if string(reply) != "x" || err != nil {
			t.Error(string(reply), err)
		}
	})
}
