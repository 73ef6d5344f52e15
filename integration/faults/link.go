package faults

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// A Direction says what happens to the bytes that go one way over a link.
type Direction struct {
	Hold  bool          // they wait until Hold ends, in order; connections stay as they are
	Drop  bool          // they vanish; a connection that has lost some is reset when Drop ends
	Delay time.Duration // they arrive so much later
}

// LinkFaults says what is wrong with a link. The zero LinkFaults is a link that works.
type LinkFaults struct {
	ToServer, ToClient Direction
	Refuse             bool // new connections are reset at once
}

// A Link is a TCP proxy in front of one server. Its methods may be called concurrently.
type Link struct {
	listener net.Listener
	target   string
	served   sync.WaitGroup

	mu      sync.Mutex
	faults  LinkFaults
	changed chan struct{} // closed by the next change of faults
	conns   map[*linked]bool
	closed  bool
}

// linked is a connection of a client to the server.
type linked struct {
	client, server *net.TCPConn
	lossy          bool // Link.mu; some bytes have vanished
	over           chan struct{}
	once           sync.Once
}

// NewLink returns a proxy on a loopback port, in front of the server at target, host:port.
func NewLink(target string) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("link to %s: %w", target, err)
	}
	l := &Link{listener: listener, target: target, changed: make(chan struct{}), conns: make(map[*linked]bool)}
	l.served.Go(l.accept)
	return l, nil
}

// Addr is the host:port that the proxy listens on.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Set says what is wrong with the link from now on. Bytes that are on their way are affected too.
func (l *Link) Set(f LinkFaults) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = f
	close(l.changed)
	l.changed = make(chan struct{})
	for c := range l.conns {
		if c.lossy && !f.ToServer.Drop && !f.ToClient.Drop {
			c.end()
		}
	}
}

// Reset resets all connections.
func (l *Link) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.end()
	}
}

// Conns is how many connections there are.
func (l *Link) Conns() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// Close resets all connections and ends the proxy.
func (l *Link) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.listener.Close()
	l.Reset()
	l.served.Wait()
}

func (l *Link) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		l.served.Go(func() { l.serve(conn.(*net.TCPConn)) })
	}
}

func (l *Link) serve(client *net.TCPConn) {
	_ = client.SetLinger(0) // unless both sides have sent all, to close it is to reset it
	defer client.Close()
	if faults, _ := l.state(); faults.Refuse {
		return
	}
	server, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	c := &linked{client: client, server: server.(*net.TCPConn), over: make(chan struct{})}
	_ = c.server.SetLinger(0)
	defer c.end()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.conns[c] = true
	l.mu.Unlock()
	var halves sync.WaitGroup
	halves.Go(func() { l.half(c, c.server, c.client, func(f LinkFaults) Direction { return f.ToServer }) })
	halves.Go(func() { l.half(c, c.client, c.server, func(f LinkFaults) Direction { return f.ToClient }) })
	halves.Wait()
	select {
	case <-c.over:
	default:
		_ = client.SetLinger(-1)
		_ = c.server.SetLinger(-1)
	}
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

// end resets both connections.
func (c *linked) end() {
	c.once.Do(func() {
		close(c.over)
		c.client.Close()
		c.server.Close()
	})
}

// A parcel is a piece of what goes one way. No bytes: the sender has sent all.
type parcel struct {
	bytes []byte
	due   time.Time
}

// half carries bytes one way, until the sender ends or the connection does.
func (l *Link) half(c *linked, to, from *net.TCPConn, direction func(LinkFaults) Direction) {
	parcels := make(chan parcel, 1024)
	var reader sync.WaitGroup
	defer reader.Wait()
	reader.Go(func() {
		defer close(parcels)
		for {
			buffer := make([]byte, 32<<10)
			n, err := from.Read(buffer)
			faults, _ := l.state()
			due := time.Now().Add(direction(faults).Delay)
			if err != nil && err != io.EOF {
				c.end()
				return
			}
			select {
			case parcels <- parcel{buffer[:n], due}:
			case <-c.over:
				return
			}
			if err != nil {
				return
			}
		}
	})
	for p := range parcels {
		if !l.deliver(c, to, p, direction) {
			c.end()
			return
		}
	}
}

// deliver brings a parcel to its receiver, or loses it. It returns false when the connection is over.
func (l *Link) deliver(c *linked, to *net.TCPConn, p parcel, direction func(LinkFaults) Direction) bool {
	select {
	case <-time.After(time.Until(p.due)):
	case <-c.over:
		return false
	}
	for {
		l.mu.Lock()
		faults, changed := l.faults, l.changed
		d := direction(faults)
		if d.Drop && !d.Hold {
			c.lossy = true
		}
		l.mu.Unlock()
		switch {
		case d.Hold:
			select {
			case <-changed:
			case <-c.over:
				return false
			}
		case d.Drop:
			return true
		case len(p.bytes) == 0:
			return to.CloseWrite() == nil
		default:
			_, err := to.Write(p.bytes)
			return err == nil
		}
	}
}

func (l *Link) state() (LinkFaults, chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults, l.changed
}
