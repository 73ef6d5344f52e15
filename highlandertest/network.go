package highlandertest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// A network is what nodes, and the registry and the store, are reached through. The places of nodes are numbers from 0; see also [Registry] and [Store].
type network struct {
	tcp     bool           // connections between nodes are real ones
	running sync.WaitGroup // pumps

	mu        sync.Mutex
	changed   chan struct{}   // closed by the next change of what passes
	cut       map[[2]int]bool // from one place to another
	frozen    map[int]bool
	conns     map[*conn]bool // open ends
	listeners map[string]*listener
	places    map[string]int // by address, for ever
	closed    bool
}

func newNetwork(tcp bool) *network {
	return &network{tcp: tcp, changed: make(chan struct{}), cut: make(map[[2]int]bool), frozen: make(map[int]bool), conns: make(map[*conn]bool),
		listeners: make(map[string]*listener), places: make(map[string]int)}
}

// holds tells whether nothing that one place sends arrives at the other. mu is held.
func (n *network) holds(from, to int) bool {
	return n.cut[[2]int{from, to}] || n.frozen[from] || n.frozen[to]
}

// change changes what passes.
func (n *network) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	close(n.changed)
	n.changed = make(chan struct{})
	for c := range n.conns {
		c.in.wake()
		c.out.wake()
	}
}

// await waits while blocked, which is called with mu held, says so; it fails when ctx ends.
func (n *network) await(ctx context.Context, blocked func() bool) error {
	n.mu.Lock()
	for blocked() {
		changed := n.changed
		n.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		n.mu.Lock()
	}
	n.mu.Unlock()
	return nil
}

// dial connects the process to an address until ctx ends.
func (n *network) dial(ctx context.Context, p *process, to int, address string) (net.Conn, error) {
	from := p.place
	if err := n.await(ctx, func() bool { // a frozen node's kernel answers
		return n.cut[[2]int{from, to}] || n.cut[[2]int{to, from}] || n.frozen[from]
	}); err != nil {
		return nil, fmt.Errorf("connect to %s: nothing comes back: %w", address, err)
	}
	if n.tcp {
		return n.dialTCP(ctx, p, to, address)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.isKilled() {
		return nil, net.ErrClosed
	}
	l := n.listeners[address]
	if l == nil {
		return nil, fmt.Errorf("connect to %s: %w", address, syscall.ECONNREFUSED)
	}
	near, far := n.connect(from, to, address)
	l.backlog = append(l.backlog, far)
	l.wake()
	return near, nil
}

func (n *network) dialTCP(ctx context.Context, p *process, to int, address string) (net.Conn, error) {
	real, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || p.isKilled() {
		real.Close()
		return nil, net.ErrClosed
	}
	near, far := n.connect(p.place, to, address)
	n.running.Go(func() { pump(far, real) })
	return near, nil
}

// dialNode is dial for the address of a node.
func (n *network) dialNode(ctx context.Context, p *process, address string) (net.Conn, error) {
	n.mu.Lock()
	to, ok := n.places[address]
	n.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("connect to %s: no node of the cluster has ever listened there: %w", address, syscall.ECONNREFUSED)
	}
	return n.dial(ctx, p, to, address)
}

// listen has the place listen, at a new address unless it is TCP.
func (n *network) listen(place int, asked string) (net.Listener, error) {
	l := &listener{network: n, place: place, changed: make(chan struct{})}
	if n.tcp {
		real, err := net.Listen("tcp", asked)
		if err != nil {
			return nil, err
		}
		l.real = real
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	l.address = fmt.Sprintf("n%d.test:%d", place, len(n.places)+1)
	if n.tcp {
		l.address = l.real.Addr().String()
	}
	n.listeners[l.address], n.places[l.address] = l, place
	return l, nil
}

// kill ends all that the node at the place has open, as a kernel does for a process that was killed.
func (n *network) kill(place int) {
	n.change(func() {
		for c := range n.conns {
			if c.out.from == place {
				c.close(syscall.ECONNRESET)
			}
		}
		for _, l := range n.listeners {
			if l.place == place {
				l.close()
			}
		}
		delete(n.frozen, place)
	})
}

// close ends all connections and waits for their pumps.
func (n *network) close() {
	n.change(func() {
		n.closed = true
		for c := range n.conns {
			c.close(net.ErrClosed)
		}
	})
	n.running.Wait()
}

// A listener takes connections. What is below the line is guarded by the network's mutex.
type listener struct {
	network *network
	place   int
	address string
	real    net.Listener // TCP; nil: none

	backlog []*conn
	closed  bool
	changed chan struct{}
}

func (l *listener) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *listener) Accept() (net.Conn, error) {
	if l.real != nil {
		return l.real.Accept()
	}
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	for {
		if l.closed {
			return nil, net.ErrClosed
		}
		if len(l.backlog) > 0 {
			c := l.backlog[0]
			l.backlog = l.backlog[1:]
			return c, nil
		}
		changed := l.changed
		l.network.mu.Unlock()
		<-changed
		l.network.mu.Lock()
	}
}

func (l *listener) Close() error {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	l.close()
	return nil
}

// close is Close; mu is held.
func (l *listener) close() {
	if l.closed {
		return
	}
	l.closed = true
	delete(l.network.listeners, l.address)
	if l.real != nil {
		l.real.Close()
	}
	for _, c := range l.backlog {
		c.close(syscall.ECONNRESET)
	}
	l.wake()
}

func (l *listener) Addr() net.Addr { return address(l.address) }
