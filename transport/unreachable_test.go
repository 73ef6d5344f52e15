package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// suspected is what err says of the member that was called: -1 if it does not blame the member.
func suspected(err error) object.Suspicion {
	var unreachable *object.UnreachableError
	if !errors.As(err, &unreachable) {
		return -1
	}
	return unreachable.How
}

func dialling(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

// What came of connecting says whether the member is gone, silent, or neither; the call did not run.
func TestWhatConnectingSaysOfAMember(t *testing.T) {
	for _, c := range []struct {
		err  error
		want object.Suspicion
	}{
		{dialling(os.NewSyscallError("connect", syscall.ECONNREFUSED)), object.Gone},
		{dialling(os.NewSyscallError("connect", syscall.ECONNRESET)), object.Gone},
		{syscall.EPIPE, object.Gone},
		{io.EOF, object.Gone},
		{io.ErrUnexpectedEOF, object.Gone},
		{ErrSilent, object.Silent},
		{dialling(os.NewSyscallError("connect", syscall.EHOSTDOWN)), object.Silent},
		{dialling(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), object.Silent},
		{dialling(os.NewSyscallError("connect", syscall.ENETUNREACH)), object.Silent},
		{dialling(os.NewSyscallError("connect", syscall.ETIMEDOUT)), object.Silent},
		{dialling(os.ErrDeadlineExceeded), object.Silent},
		{dialling(context.DeadlineExceeded), object.Silent},
		{dialling(&net.DNSError{Err: "no such host", IsNotFound: true}), object.Silent},
		{dialling(&net.DNSError{Err: "the name server does not answer", IsTimeout: true}), 0},
		{dialling(os.NewSyscallError("socket", syscall.EMFILE)), 0},
		{dialling(&net.AddrError{Err: "missing port in address", Addr: "b"}), 0},
	} {
		client := open(t, Config{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, c.err }})
		to := object.Member{Name: "b", Address: "b"}
		_, err := client.Call(t.Context(), to, ask("x"))
		if suspected(err) != c.want || !errors.Is(err, object.ErrUnavailable) || !errors.Is(err, c.err) {
			t.Errorf("%v: suspicion %d, %v", c.err, suspected(err), err)
		}
		if err := client.Ping(t.Context(), to); suspected(err) != c.want {
			t.Errorf("%v: a ping's suspicion is %d, %v", c.err, suspected(err), err)
		}
	}
}

func TestAnAddressWhereNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = open(t, Config{}).Call(t.Context(), object.Member{Address: l.Addr().String()}, ask("x"))
	if suspected(err) != object.Gone || !errors.Is(err, object.ErrUnavailable) {
		t.Error(err)
	}
}

// reset closes a connection so that the other side is told of a reset.
func reset(nc net.Conn) {
	nc.(*net.TCPConn).SetLinger(0)
	nc.Close()
}

func TestAPeerThatResetsTheHandshakeIsGone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			io.ReadFull(nc, make([]byte, 4))
			reset(nc)
		}
	})
	_, err = open(t, Config{}).Call(t.Context(), object.Member{Address: l.Addr().String()}, ask("x"))
	if suspected(err) != object.Gone || !errors.Is(err, object.ErrUnavailable) {
		t.Error(err)
	}
	l.Close()
	accepting.Wait()
}

// Calls that were sent may have run, and the member is suspected all the same.
func TestAPeerThatIsLostWithCallsInFlightIsGone(t *testing.T) {
	for name, lose := range map[string]func(net.Conn){"reset": reset, "closed": func(nc net.Conn) { nc.Close() }} {
		to := acceptRaw(t, func(nc net.Conn) {
			f := frameReader{r: newReader(nc), limit: MinFrame}
			f.next()
			lose(nc)
		})
		_, err := open(t, Config{}).Call(t.Context(), to, ask("x"))
		if suspected(err) != object.Gone || !errors.Is(err, object.ErrUnknownOutcome) || errors.Is(err, object.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A peer of another cluster or version, or something else, is where the member should be: that does not say what became of it.
func TestAPeerThatIsNoneIsNeitherGoneNorSilent(t *testing.T) {
	to := listen(t, open(t, Config{Handler: echo, Cluster: "other"}))
	_, err := open(t, Config{}).Call(t.Context(), to, ask("x"))
	if suspected(err) != 0 || !errors.Is(err, object.ErrUnavailable) {
		t.Error(err)
	}
}

func TestAMemberIsGoneWhenAnotherIncarnationAnswers(t *testing.T) {
	e := open(t, Config{Handler: echo})
	to := listen(t, e)
	client := open(t, Config{})
	for range 2 { // on a new connection, and on the one that there is then
		former := to
		former.Incarnation = uuid.New()
		_, err := client.Call(t.Context(), former, ask("x"))
		if suspected(err) != object.Gone || !errors.Is(err, object.ErrUnavailable) {
			t.Error(err)
		}
		if err := client.Ping(t.Context(), former); suspected(err) != object.Gone {
			t.Error(err)
		}
		if _, err := client.Call(t.Context(), to, ask("x")); err != nil {
			t.Error(err)
		}
		e.SetIncarnation(uuid.New())
		to.Incarnation = e.here()
	}
}

// A node that drains is alive: it refuses calls on connections old and new, and answers pings.
func TestANodeThatDrainsIsNeitherGoneNorSilent(t *testing.T) {
	b := newBlocking()
	e := open(t, Config{Handler: b.handle})
	to := listen(t, e)
	old, late := open(t, Config{}), open(t, Config{})
	told := make(chan error, 1)
	go func() {
		_, err := old.Call(t.Context(), to, ask("wait"))
		told <- err
	}()
	<-b.begun
	drained := make(chan error, 1)
	go func() { drained <- e.Drain(t.Context()) }()
	<-e.draining.Done()
	for _, client := range []*Endpoint{old, late, old, late} {
		_, err := client.Call(t.Context(), to, ask("x"))
		if suspected(err) != 0 || !errors.Is(err, object.ErrUnavailable) || !errors.Is(err, object.ErrClosed) {
			t.Error(err)
		}
		if err := client.Ping(t.Context(), to); err != nil {
			t.Error(err)
		}
	}
	nc, err := net.Dial("tcp", to.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if hello, err := greet(nc, rawHello()); err != nil || hello.inFlight != 0 {
		t.Errorf("it says that it takes %d requests: %v", hello.inFlight, err)
	}
	select {
	case err := <-drained:
		t.Errorf("it has drained while a request runs: %v", err)
	default:
	}
	close(b.release)
	if err := errors.Join(<-told, <-drained); err != nil {
		t.Error(err)
	}
	if err := old.Ping(t.Context(), to); err != nil {
		t.Errorf("it has drained, and is still there: %v", err)
	}
}

func TestACallerWhoEndsItsCallDoesNotBlameTheMember(t *testing.T) {
	b := newBlocking()
	to := listen(t, open(t, Config{Handler: b.handle}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-b.begun; cancel() }()
	client := open(t, Config{})
	if _, err := client.Call(ctx, to, ask("wait")); suspected(err) != -1 || !errors.Is(err, object.ErrUnknownOutcome) {
		t.Error(err)
	}
	if err := client.Ping(ctx, to); suspected(err) != -1 || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A ping gets its answer while calls wait for theirs, also when no more of them may be in flight, and it is not counted for a drain.
func TestAPingIsAnsweredWhileCallsWait(t *testing.T) {
	b := newBlocking()
	to := listen(t, open(t, Config{Handler: b.handle, MaxInFlight: 1}))
	client := open(t, Config{})
	told := make(chan error, 1)
	go func() {
		_, err := client.Call(t.Context(), to, ask("wait"))
		told <- err
	}()
	<-b.begun
	if err := client.Ping(t.Context(), to); err != nil {
		t.Error(err)
	}
	close(b.release)
	if err := <-told; err != nil {
		t.Error(err)
	}
}

func TestAPingThatIsNotAnsweredInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connecting := newNetwork() // and nobody accepts
		client := open(t, Config{Dial: connecting.dial})
		shut := make(chan struct{})
		through := newNetwork()
		through.wrap = func(c net.Conn) net.Conn { return &hole{Conn: c, shut: shut, closed: make(chan struct{})} }
		e := open(t, Config{Handler: echo})
		if err := e.listen(through); err != nil {
			t.Fatal(err)
		}
		to := object.Member{Incarnation: e.here(), Address: "b"}
		connected := open(t, Config{Dial: through.dial})
		if err := connected.Ping(t.Context(), to); err != nil {
			t.Error(err)
		}
		close(shut)
		for _, client := range []*Endpoint{client, connected} {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			begin := time.Now()
			if err := client.Ping(ctx, to); suspected(err) != object.Silent || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, object.ErrUnknownOutcome) {
				t.Error(err)
			}
			if took := time.Since(begin); took != 500*time.Millisecond {
				t.Errorf("a ping with 500 ms took %v", took)
			}
			cancel()
		}
		for _, e := range []*Endpoint{client, connected, e} {
			e.Close()
		}
	})
}
