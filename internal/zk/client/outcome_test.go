package client

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	gozk "github.com/go-zookeeper/zk"

	"github.com/highlander-go/highlander/internal/zk"
)

var sentinels = []error{zk.ErrNoNode, zk.ErrNodeExists, zk.ErrBadVersion, zk.ErrNotEmpty, zk.ErrSessionOver, zk.ErrConnectionLost}

// is reports whether err says want and no other sentinel; with a nil want, no sentinel at all.
func is(err, want error) bool {
	for _, sentinel := range sentinels {
		if errors.Is(err, sentinel) != (sentinel == want) {
			return false
		}
	}
	return true
}

// What the library returns, and what is known then.
func TestOutcomeIsDefiniteOnlyWhenTheServerSaidSo(t *testing.T) {
	const left, over = true, true
	unknown := errors.New("whatever")
	for _, c := range []struct {
		err        error
		left, over bool
		want       error
	}{
		{gozk.ErrNoNode, left, !over, zk.ErrNoNode},
		{gozk.ErrNodeExists, left, !over, zk.ErrNodeExists},
		{gozk.ErrBadVersion, left, over, zk.ErrBadVersion}, // answered, although the session ended then
		{gozk.ErrNotEmpty, left, !over, zk.ErrNotEmpty},

		// The library gave up what had left: nobody knows, also when the session is over by now.
		{gozk.ErrConnectionClosed, left, !over, zk.ErrConnectionLost},
		{gozk.ErrConnectionClosed, left, over, zk.ErrConnectionLost},
		{gozk.ErrClosing, left, over, zk.ErrConnectionLost},
		{gozk.ErrNoServer, left, over, zk.ErrConnectionLost},
		{gozk.ErrSessionExpired, left, !over, zk.ErrConnectionLost}, // the event of the expiry must come first, and it is not there yet
		{gozk.ErrSessionMoved, left, !over, zk.ErrConnectionLost},

		// What never left, in a session that is over, never ran.
		{gozk.ErrConnectionClosed, !left, over, zk.ErrSessionOver},
		{gozk.ErrNoServer, !left, over, zk.ErrSessionOver},
		{gozk.ErrClosing, !left, over, zk.ErrSessionOver},

		// The rest is passed on, and is not definite.
		{gozk.ErrAPIError, left, !over, nil},
		{gozk.ErrNoAuth, left, !over, nil},
		{gozk.ErrAuthFailed, left, !over, nil},
		{gozk.ErrNoChildrenForEphemerals, left, !over, nil},
		{gozk.ErrInvalidPath, !left, !over, nil},
		{gozk.ErrBadArguments, left, !over, nil},
		{gozk.ErrUnknown, left, !over, nil},
		{gozk.ErrNothing, left, !over, nil},
		{gozk.ErrShortBuffer, !left, !over, nil},
		{gozk.ErrUnhandledFieldType, left, !over, nil},
		{unknown, left, !over, nil},
	} {
		if got := outcome(c.err, c.left, c.over); got == nil || !is(got, c.want) {
			t.Errorf("outcome(%v, left %v, over %v) = %v, not %v", c.err, c.left, c.over, got, c.want)
		} else if c.want == nil && !errors.Is(got, c.err) {
			t.Errorf("outcome(%v) = %v: the cause is lost", c.err, got)
		}
	}
	if err := outcome(nil, left, over); err != nil {
		t.Errorf("outcome(nil) = %v", err)
	}
}

// What a server may answer, by its code.
func TestAnswerOfTheServer(t *testing.T) {
	server := newFake(t)
	var code int32
	server.serve = func(c *fakeConn, xid, op int32, _ []byte) error {
		if op == opClose {
			return c.answer(xid, 0)
		}
		return c.answer(xid, code)
	}
	s, _ := open(t, newEnsemble(t, []string{server.addr()}, Options{}), 6*time.Second)
	for _, c := range []struct {
		code int32
		want error
	}{
		{-101, zk.ErrNoNode}, {-103, zk.ErrBadVersion}, {-110, zk.ErrNodeExists}, {-111, zk.ErrNotEmpty},
		{-112, zk.ErrConnectionLost}, {-118, zk.ErrConnectionLost}, // the next handshake tells; this server still knows the session
		{-116, zk.ErrConnectionLost}, // "closing", which the library says of itself, too
		{-1, nil}, {-2, nil}, {-3, nil}, {-4, nil}, {-5, nil}, {-6, nil}, {-7, nil}, {-8, nil}, {-9, nil},
		{-100, nil}, {-102, nil}, {-108, nil}, {-113, nil}, {-114, nil}, {-115, nil}, {-117, nil}, {-119, nil}, {-123, nil}, {-127, nil},
	} {
		code = c.code
		err := s.Delete(within(t, patience), "/a", 0)
		for c.want != zk.ErrConnectionLost && errors.Is(err, zk.ErrConnectionLost) { // it met the connection that is given up
			err = s.Delete(within(t, patience), "/a", 0)
		}
		if err == nil || !is(err, c.want) {
			t.Errorf("answer %d: %v, not %v", c.code, err, c.want)
		}
	}
	code = 0
	if err := s.Delete(within(t, patience), "/a", 0); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

func TestLostAnswerIsUnknown(t *testing.T) {
	server := newFake(t)
	server.serve = func(c *fakeConn, xid, op int32, body []byte) error {
		if op != opClose && strings.HasPrefix(firstString(body), "/cut") {
			return io.EOF
		}
		return c.answer(xid, 0)
	}
	s, events := open(t, newEnsemble(t, []string{server.addr()}, Options{}), 6*time.Second)
	for i := range 10 {
		if err := s.Delete(within(t, patience), fmt.Sprintf("/cut%d", i), 0); !is(err, zk.ErrConnectionLost) {
			t.Errorf("Delete, cut off: %v", err)
		}
		if err := s.Delete(within(t, patience), "/other", 0); err != nil { // waits for the next connection
			t.Errorf("Delete after that: %v", err)
		}
	}
	events.await(t, zk.Event{Type: zk.Disconnected}, 10)
	events.await(t, zk.Event{Type: zk.Connected}, 11)
	for i, e := range events.all() {
		if want := []zk.EventType{zk.Connected, zk.Disconnected}[i%2]; e.Type != want {
			t.Fatalf("events are not in turns: %v", events.all())
		}
	}
}

func TestGarbageIsAnErrorAndNoPanic(t *testing.T) {
	for name, garbage := range map[string]string{
		"another protocol": "HTTP/1.1 400 Bad Request\r\n\r\n",
		"a short frame":    "\x00\x00\x00\x02ab",
		"a negative one":   "\xff\xff\xff\xffab",
		"an empty one":     "\x00\x00\x00\x00",
	} {
		t.Run(name+" for a handshake", func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					_, _ = io.WriteString(conn, garbage)
					_, _ = io.ReadFull(conn, make([]byte, 45)) // so that it is not reset before it is read
					_ = conn.Close()
				}
			}()
			_, err = newEnsemble(t, []string{listener.Addr().String()}, Options{}).Open(within(t, 500*time.Millisecond), 6*time.Second, newJournal().add)
			if err == nil || !strings.Contains(err.Error(), "is it a ZooKeeper server?") {
				t.Errorf("Open: %v", err)
			}
			_ = listener.Close()
			<-done
		})
		t.Run(name+" for an answer", func(t *testing.T) {
			server := newFake(t)
			server.serve = func(c *fakeConn, xid, op int32, _ []byte) error {
				if op == opClose {
					return c.answer(xid, 0)
				}
				_, err := io.WriteString(c, garbage)
				return err
			}
			s, _ := open(t, newEnsemble(t, []string{server.addr()}, Options{}), 6*time.Second)
			if err := s.Delete(within(t, patience), "/a", 0); !is(err, zk.ErrConnectionLost) {
				t.Errorf("Delete: %v", err)
			}
		})
	}
}
