package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// Listen takes calls at the TCP address, host:port, until Drain or Close; port 0 is a free one. It returns the address that it
// listens on. An address that other machines can reach is refused unless [Config.AllowPlaintext] is set.
func (e *Endpoint) Listen(address string) (net.Addr, error) {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("transport: listening on %q: %w", address, err)
	}
	if err := e.mayListen(a); err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{KeepAliveConfig: keepAlive}).Listen(e.over, "tcp", a.String())
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	return l.Addr(), e.Serve(l)
}

// Serve takes calls from l, in the background, until Drain or Close. Then, or if it fails, l is closed. TCP addresses
// that other machines can reach are refused as by Listen.
func (e *Endpoint) Serve(l net.Listener) error {
	err := e.mayListen(l.Addr())
	if err == nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.closed || e.draining.Err() != nil {
			err = fmt.Errorf("transport: listening on %v: %w", l.Addr(), object.ErrClosed)
		}
	}
	if err != nil {
		l.Close()
		return err
	}
	e.incoming.Add(1)
	e.running.Go(func() {
		defer e.incoming.Done()
		e.accept(l)
	})
	return nil
}

func (e *Endpoint) mayListen(a net.Addr) error {
	if t, ok := a.(*net.TCPAddr); ok && !t.IP.IsLoopback() && !e.config.AllowPlaintext {
		return fmt.Errorf("transport: listening on %v is refused: other machines can reach it, and calls are neither encrypted nor authenticated; "+
			"use a loopback address such as 127.0.0.1, or set AllowPlaintext if the network is trusted", a)
	}
	return nil
}

// accept takes connections until the endpoint drains.
func (e *Endpoint) accept(l net.Listener) {
	defer context.AfterFunc(e.draining, func() { l.Close() })()
	const longest = time.Second
	for pause := time.Millisecond; ; {
		nc, err := l.Accept()
		switch {
		case e.draining.Err() != nil || errors.Is(err, net.ErrClosed):
			if err == nil {
				nc.Close()
			}
			l.Close()
			return
		case err != nil:
			e.config.Log.Error("no connection could be accepted, trying again", "address", l.Addr(), "error", err)
			select {
			case <-time.After(pause):
			case <-e.draining.Done():
			}
			pause = min(2*pause, longest)
			continue
		case !e.admit():
			e.config.Log.Error("a connection was refused: raise MaxConns if the cluster is that large",
				"from", nc.RemoteAddr(), "connections", e.config.MaxConns)
			nc.Close()
			continue
		}
		pause = time.Millisecond
		e.incoming.Add(1)
		e.running.Go(func() {
			defer e.incoming.Done()
			e.serve(nc)
		})
	}
}

// admit counts one more connection from others unless there are enough.
func (e *Endpoint) admit() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.inbound >= e.config.MaxConns {
		return false
	}
	e.inbound++
	return true
}

// serve serves a connection until it ends and all its handlers have returned.
func (e *Endpoint) serve(nc net.Conn) {
	own := e.hello()
	peer, err := shakeHands(e.draining, nc, time.Now().Add(e.config.HandshakeTimeout), welcome, own)
	if err == nil {
		l := &server{link: newLink(nc, peer, e.config.MaxFrame, e.running.Go), endpoint: e, self: own.self, running: make(map[uint64]*request)}
		err = l.serve()
	}
	defer nc.Close() // after it was said why
	e.mu.Lock()
	e.inbound--
	e.mu.Unlock()
	if errors.Is(err, errHandshake) && e.draining.Err() == nil {
		e.config.Log.Warn("a connection was refused", "from", nc.RemoteAddr(), "error", err)
	} else if e.over.Err() == nil {
		e.config.Log.Debug("a connection from a node has ended", "from", nc.RemoteAddr(), "incarnation", peer.self, "error", err)
	}
}

// A server is a link that another node has dialled, and the requests that it serves.
type server struct {
	*link
	endpoint *Endpoint
	self     uuid.UUID // whom the peer has connected to
	names    names
	handlers sync.WaitGroup
	running  map[uint64]*request // guarded by the link's mu
}

// A request is being handled.
type request struct {
	object.Request
	id        uint64
	end       context.CancelFunc
	cancelled bool // its caller does not wait for the result; guarded by the link's mu
}

func (l *server) serve() error {
	e := l.endpoint
	stop := context.AfterFunc(e.draining, func() { l.tell(kindLeave, 0) })
	defer stop()
	err := l.run(e.config.tick(), e.over.Done(), func() {}, l.receive)
	l.mu.Lock()
	for _, r := range l.running {
		r.end()
	}
	l.mu.Unlock()
	l.handlers.Wait()
	return err
}

// receive handles a frame of the peer's.
func (l *server) receive(f frame) error {
	switch f.kind {
	case kindRequest:
		return l.start(f)
	case kindCancel:
		l.mu.Lock()
		defer l.mu.Unlock()
		if r := l.running[f.id]; r != nil { // else it has been answered meanwhile
			r.cancelled = true
			r.end()
		}
		return nil
	}
	return fmt.Errorf("%w: kind %d is not for the side that listens", errMalformed, f.kind)
}

// start has a request handled, when the peer has read enough of the answers before it.
func (l *server) start(f frame) error {
	r := &request{id: f.id}
	timeout, err := readRequest(f.payload, &l.names, &r.Request)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.waitForRoom(nil) {
	}
	if refused, because := l.refuses(); refused {
		l.queue = appendFrame(l.queue, kindRefused, f.id, because)
		if l.claimWriting() {
			l.spawn(func() { l.flush(nil) })
		}
		return nil
	}
	if most := l.endpoint.config.MaxInFlight; l.running[f.id] != nil || len(l.running) >= most {
		return fmt.Errorf("%w: request %d, while %d are in flight and %d may be", errMalformed, f.id, len(l.running), most)
	}
	var ctx context.Context
	if timeout > 0 {
		ctx, r.end = context.WithTimeout(context.Background(), timeout)
	} else {
		ctx, r.end = context.WithCancel(context.Background())
	}
	l.running[f.id] = r
	l.handlers.Go(func() { l.handle(ctx, r) })
	return nil
}

// refuses tells whether requests are refused, and the payload that says why.
func (l *server) refuses() (refused bool, because []byte) {
	if l.endpoint.draining.Err() != nil || l.endpoint.config.Handler == nil {
		return true, nil
	}
	now := l.endpoint.incarnation.Load()
	return *now != l.self, now[:]
}

// handle has one request handled, and answers it.
func (l *server) handle(ctx context.Context, r *request) {
	defer r.end()
	reply, err := l.endpoint.config.Handler(ctx, &r.Request)
	if err == nil && headerBytes+len(reply) > l.peer.frame {
		err = fmt.Errorf("%v: %w, read it before trying again: %s has run, but its reply has %d bytes and the caller takes frames of %d",
			r.Key, object.ErrUnknownOutcome, r.Method, len(reply), l.peer.frame)
	}
	l.mu.Lock()
	for l.waitForRoom(nil) {
	}
	delete(l.running, r.id)
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	switch {
	case r.cancelled:
		l.queue = appendFrame(l.queue, kindDropped, r.id, nil)
	case err != nil:
		start := len(l.queue)
		l.queue = closeFrame(appendFailure(openFrame(l.queue, kindFailure, r.id), err), start)
	default:
		l.queue = appendFrame(l.queue, kindReply, r.id, reply)
	}
	mine, others := l.claimWriting(), len(l.running) > 0
	l.mu.Unlock()
	if mine {
		if others {
			runtime.Gosched() // so that they can add to what is written
		}
		l.flush(nil)
	}
}
