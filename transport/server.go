package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// Listen takes calls at the TCP address, host:port, until Close; port 0 is a free one. It returns the address that it
// listens on. An address that other machines can reach is refused unless [Config.AllowPlaintext] is set, or [Config].Listen
// is in charge of addresses.
func (e *Endpoint) Listen(address string) (net.Addr, error) {
	if e.config.Listen != nil {
		l, err := e.config.Listen(address)
		if err != nil {
			return nil, fmt.Errorf("transport: %w", err)
		}
		return l.Addr(), e.listen(l)
	}
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("transport: listening on %q: %w", address, err)
	}
	if !a.IP.IsLoopback() && !e.config.AllowPlaintext {
		return nil, fmt.Errorf("transport: listening on %v is refused: other machines can reach it, and calls are neither encrypted nor authenticated; "+
			"use a loopback address such as 127.0.0.1, or set AllowPlaintext if the network is trusted", a)
	}
	l, err := net.ListenTCP("tcp", a)
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	return l.Addr(), e.listen(l)
}

// listen takes calls from l, in the background.
func (e *Endpoint) listen(l net.Listener) error {
	if e.config.Handler == nil {
		l.Close()
		return fmt.Errorf("transport: listening on %v: Config.Handler is not set", l.Addr())
	}
	if !e.spawn(func() { e.accept(l) }) {
		l.Close()
		return fmt.Errorf("transport: listening on %v: %w", l.Addr(), object.ErrClosed)
	}
	return nil
}

// accept takes connections until the endpoint is closed.
func (e *Endpoint) accept(l net.Listener) {
	defer l.Close()
	defer context.AfterFunc(e.over, func() { l.Close() })()
	for {
		nc, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			e.config.Log.Error("no connection could be accepted, trying again", "address", l.Addr(), "error", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-e.over.Done():
			}
		default:
			select {
			case e.inbound <- struct{}{}:
				e.running.Go(func() { e.serve(nc) })
			default:
				e.config.Log.Error("a connection was refused: raise MaxConns if the cluster is that large",
					"from", nc.RemoteAddr(), "connections", e.config.MaxConns)
				nc.Close()
			}
		}
	}
}

// serve serves a connection until it ends and all its handlers have returned.
func (e *Endpoint) serve(nc net.Conn) {
	own, left := e.hello(), func() {}
	e.mu.Lock()
	if e.draining.Err() == nil {
		own.inFlight = e.config.MaxInFlight
		e.serving.Add(1)
		left = sync.OnceFunc(e.serving.Done)
	}
	e.mu.Unlock()
	defer left()
	peer, err := shakeHands(e.over, nc, time.Now().Add(2*e.config.Silence), own, false)
	if err == nil {
		l := &server{link: newLink(e, nc, peer), left: left, names: make(names), running: make(map[uint64]context.CancelFunc)}
		err = l.serve()
	}
	defer nc.Close() // after it was said why
	<-e.inbound
	level := slog.LevelDebug
	if errors.Is(err, errHandshake) && e.over.Err() == nil {
		level = slog.LevelWarn
	}
	e.config.Log.Log(e.over, level, "a connection from a node has ended", "from", nc.RemoteAddr(), "incarnation", peer.self, "error", err)
}

// A server is a link that another node has dialled, and the requests that it serves.
type server struct {
	*link
	left     func() // says that no more requests will come
	names    names
	handlers sync.WaitGroup
	running  map[uint64]context.CancelFunc // ends the contexts of requests, by id; guarded by the link's mu
}

func (l *server) serve() error {
	defer context.AfterFunc(l.e.draining, func() { l.tell(kindLeave, 0, nil) })()
	err := l.run(l.receive)
	l.mu.Lock()
	for _, end := range l.running {
		end()
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
	case kindLeave:
		l.left()
		return nil
	case kindCancel:
		l.mu.Lock()
		defer l.mu.Unlock()
		if end := l.running[f.id]; end != nil { // else it has been answered meanwhile
			end()
		}
		return nil
	}
	return fmt.Errorf("%w: kind %d is not for the side that listens", errMalformed, f.kind)
}

// start has a request handled.
func (l *server) start(f frame) error {
	r := new(object.Request)
	to, timeout, err := readRequest(f.payload, l.names, r)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if most := l.e.config.MaxInFlight; l.running[f.id] != nil || len(l.running) >= most {
		return fmt.Errorf("%w: request %d, while %d are in flight and %d may be", errMalformed, f.id, len(l.running), most)
	}
	var ctx context.Context
	var end context.CancelFunc
	if timeout > 0 {
		ctx, end = context.WithTimeout(context.Background(), timeout)
	} else {
		ctx, end = context.WithCancel(context.Background())
	}
	l.running[f.id] = end
	l.handlers.Go(func() {
		defer end()
		l.handle(ctx, f.id, to, r)
	})
	return nil
}

// handle has one request handled, and answers it.
func (l *server) handle(ctx context.Context, id uint64, to uuid.UUID, r *object.Request) {
	var reply []byte
	err := errExited
	here := l.e.here()
	refuse := here != to || l.e.draining.Err() != nil
	defer func() { l.answer(id, r, refuse, here, reply, err) }()
	if !refuse {
		reply, err = l.e.config.Handler(ctx, r)
	}
}

// errExited is the answer to a request whose handler has ended its goroutine, as testing's FailNow does.
var errExited = fmt.Errorf("%w: its method has called runtime.Goexit", object.ErrUnknownOutcome)

// answer answers a request: it is refused, or has come to a reply or an error.
func (l *server) answer(id uint64, r *object.Request, refuse bool, here uuid.UUID, reply []byte, err error) {
	l.mu.Lock()
	l.waitForRoom(context.Background())
	delete(l.running, id)
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	switch {
	case refuse:
		l.queue = appendFrame(l.queue, kindRefused, id, here[:])
	case err == nil && headerBytes+len(reply) <= l.peer.frame:
		l.queue = appendFrame(l.queue, kindReply, id, reply)
	default:
		l.appendFailure(id, r, len(reply), err)
	}
	mine, others := l.claim(), len(l.running) > 0
	l.mu.Unlock()
	if mine {
		if others {
			runtime.Gosched() // so that they can add to what is written
		}
		l.flush(false)
	}
}

// appendFailure queues the answer to a request that failed, or whose answer is too large. mu is held.
func (l *server) appendFailure(id uint64, r *object.Request, size int, err error) {
	start := len(l.queue)
	if err != nil {
		failure := object.NewRemoteError(err)
		l.queue = appendFailure(openFrame(l.queue, kindFailure, id), failure)
		if len(l.queue)-start > l.peer.frame {
			failure.Shorten()
			l.queue = appendFailure(openFrame(l.queue[:start], kindFailure, id), failure)
		}
		size = len(l.queue) - start - headerBytes
	}
	if headerBytes+size > l.peer.frame {
		err = fmt.Errorf("%v: %w, read it before trying again: %s has run, but its answer has %d bytes and the caller takes frames of %d",
			r.Key, object.ErrUnknownOutcome, r.Method, size, l.peer.frame)
		l.queue = appendFailure(openFrame(l.queue[:start], kindFailure, id), object.NewRemoteError(err))
	}
	l.queue = closeFrame(l.queue, start)
}
