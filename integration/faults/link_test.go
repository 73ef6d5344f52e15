package faults

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// echo is a server that sends back each line, and remembers it.
type echo struct {
	mu   sync.Mutex
	got  []string
	addr string
}

func newEcho(t *testing.T) *echo {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{addr: listener.Addr().String()}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer conn.Close()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					e.mu.Lock()
					e.got = append(e.got, lines.Text())
					e.mu.Unlock()
					io.WriteString(conn, lines.Text()+"\n")
				}
				io.WriteString(conn, "bye\n")
			})
		}
	})
	t.Cleanup(func() { listener.Close(); served.Wait() })
	return e
}

func (e *echo) has(line string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.got {
		if l == line {
			return true
		}
	}
	return false
}

func newLink(t *testing.T) (*echo, *Link, *net.TCPConn, *bufio.Reader) {
	t.Helper()
	e := newEcho(t)
	link, err := NewLink(e.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	conn, lines := connect(t, link)
	say(t, conn, "hello")
	expect(t, conn, lines, "hello")
	return e, link, conn, lines
}

func connect(t *testing.T, link *Link) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", link.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn), bufio.NewReader(conn)
}

func say(t *testing.T, conn net.Conn, line string) {
	t.Helper()
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, conn net.Conn, lines *bufio.Reader, want string) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if line, err := lines.ReadString('\n'); line != want+"\n" {
		t.Fatalf("got %q, %v, want %q", line, err, want)
	}
}

// expectNothing looks for a moment whether anything comes.
func expectNothing(t *testing.T, conn net.Conn, lines *bufio.Reader) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if line, err := lines.ReadString('\n'); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %q, %v, want nothing", line, err)
	}
}

// expectReset waits for the end of the connection, which must not be an orderly one.
func expectReset(t *testing.T, conn net.Conn, lines *bufio.Reader) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if line, err := lines.ReadString('\n'); err == nil || err == io.EOF || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %q, %v, want a reset", line, err)
	}
}

func TestLinkHoldsBytes(t *testing.T) {
	for name, held := range map[string]LinkFaults{
		"to the server": {ToServer: Direction{Hold: true}},
		"to the client": {ToClient: Direction{Hold: true}},
	} {
		t.Run(name, func(t *testing.T) {
			e, link, conn, lines := newLink(t)
			link.Set(held)
			say(t, conn, "one")
			say(t, conn, "two")
			expectNothing(t, conn, lines)
			if held.ToServer.Hold == e.has("one") {
				t.Errorf("the server has got what: %q", e.got)
			}
			link.Set(LinkFaults{})
			expect(t, conn, lines, "one")
			expect(t, conn, lines, "two")
		})
	}
}

func TestLinkCutOneWay(t *testing.T) {
	for name, cut := range map[string]LinkFaults{
		"to the server": {ToServer: Direction{Drop: true}},
		"to the client": {ToClient: Direction{Drop: true}},
	} {
		t.Run(name, func(t *testing.T) {
			e, link, conn, lines := newLink(t)
			link.Set(cut)
			say(t, conn, "lost")
			if cut.ToClient.Drop {
				eventually(t, "the server gets what goes the other way", func() bool { return e.has("lost") })
			}
			expectNothing(t, conn, lines)
			if cut.ToServer.Drop && e.has("lost") {
				t.Error("the server has got what was to vanish")
			}
			link.Set(LinkFaults{})
			expectReset(t, conn, lines)
			conn, lines = connect(t, link)
			say(t, conn, "again")
			expect(t, conn, lines, "again")
		})
	}
}

func TestLinkDelays(t *testing.T) {
	_, link, conn, lines := newLink(t)
	const delay = 30 * time.Millisecond
	link.Set(LinkFaults{ToServer: Direction{Delay: delay}, ToClient: Direction{Delay: delay}})
	began := time.Now()
	say(t, conn, "late")
	expect(t, conn, lines, "late")
	if took := time.Since(began); took < 2*delay {
		t.Errorf("a delay of %v each way, and an echo took %v", delay, took)
	}
}

func TestLinkRefusesAndResets(t *testing.T) {
	_, link, conn, lines := newLink(t)
	link.Set(LinkFaults{Refuse: true})
	say(t, conn, "still there")
	expect(t, conn, lines, "still there")
	if refused, err := net.Dial("tcp", link.Addr()); err == nil { // else it was reset even sooner
		expectReset(t, refused, bufio.NewReader(refused))
		refused.Close()
	}
	link.Reset()
	expectReset(t, conn, lines)
	eventually(t, "no connections are left", func() bool { return link.Conns() == 0 })
}

func TestLinkEndsOrderly(t *testing.T) {
	_, _, conn, lines := newLink(t)
	say(t, conn, "last")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	expect(t, conn, lines, "last")
	expect(t, conn, lines, "bye")
	if _, err := lines.ReadString('\n'); err != io.EOF {
		t.Errorf("the end: %v, want EOF", err)
	}
}

func TestLinkCloseEndsConnections(t *testing.T) {
	_, link, conn, lines := newLink(t)
	link.Set(LinkFaults{ToServer: Direction{Hold: true, Delay: time.Hour}})
	say(t, conn, "held")
	link.Close()
	expectReset(t, conn, lines)
}
