package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	gozk "github.com/go-zookeeper/zk"

	"github.com/highlander-go/highlander/internal/zk"
)

// maxInFlight bounds a session's requests that the library holds, and so its goroutines: those that were given up stay until they are answered or the
// connection is lost. More of them wait their turn. A server stops reading at 1,000 requests of all its clients (globalOutstandingLimit).
const maxInFlight = 256

// maxRequest is what a server takes at most in one request, by default (jute.maxbuffer). It would close the connection over a longer one.
const maxRequest = 0xfffff

// A session is one ZooKeeper session and the one library connection that carries it.
//
// A request takes a slot, then the turn, which it hands on as it leaves for the server: so requests leave in the order in which they got the
// turn, and at most one is inside the library without having left. One that is given up before its turn never leaves.
type session struct {
	ensemble *Ensemble
	lib      *gozk.Conn
	hosts    hosts
	events   func(zk.Event)

	slots  chan struct{}           // full: maxInFlight requests are in the library
	turn   chan struct{}           // full: a request is about to leave
	leaver atomic.Pointer[request] // the one that has the turn
	calls  sync.WaitGroup          // goroutines in the library

	ctx         context.Context // ends when the session may connect no more
	cancel      context.CancelFunc
	over        chan struct{} // closed when requests are refused
	ready       chan struct{} // closed when the session is established
	parked      chan struct{} // closed when the library's goroutine waits to be told to stop
	libraryDone chan struct{} // closed when it has stopped
	ending      sync.Once

	id          atomic.Int64 // 0: none yet. Never changes after that
	timeout     atomic.Int64 // asked for, then granted; a [time.Duration]
	quiet       atomic.Bool  // no more events
	expired     atomic.Bool
	closed      atomic.Bool // the servers have confirmed that the session is closed
	isConnected bool        // only for the goroutines of the library, one after the other

	mu      sync.Mutex
	conn    *conn
	watches map[string]struct{} // watched paths
	failure error               // the last one of connecting
}

// A request is one call of the library.
type request struct {
	watch bool // what it lists is to be watched, too; set by the call
	left  atomic.Bool
}

func newSession(e *Ensemble, timeout time.Duration, events func(zk.Event)) *session {
	s := &session{
		ensemble: e, events: events,
		slots: make(chan struct{}, maxInFlight), turn: make(chan struct{}, 1),
		over: make(chan struct{}), ready: make(chan struct{}), parked: make(chan struct{}), libraryDone: make(chan struct{}),
		watches: map[string]struct{}{},
		failure: errors.New("none was finished"),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.hosts.s = s
	s.timeout.Store(int64(timeout))
	return s
}

func (s *session) ID() int64 { return s.id.Load() }

func (s *session) Timeout() time.Duration { return time.Duration(s.timeout.Load()) }

// do has the library make a request of about size bytes, and returns when it is answered or ctx ends. What call returns is judged by [outcome].
func (s *session) do(ctx context.Context, what, path string, size int, call func(*request) error) error {
	if size > maxRequest {
		return fmt.Errorf("%s %s: %d bytes are more than ZooKeeper takes in one request, which is %d", what, path, size, maxRequest)
	}
	if err := s.submit(ctx, s.over, call); err != nil {
		return fmt.Errorf("%s %s: %w", what, path, err)
	}
	return nil
}

func (s *session) submit(ctx context.Context, over <-chan struct{}, call func(*request) error) error {
	if isClosed(over) {
		return zk.ErrSessionOver
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	select {
	case s.slots <- struct{}{}:
	case <-over:
		return zk.ErrSessionOver
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case s.turn <- struct{}{}:
	case <-over:
		<-s.slots
		return zk.ErrSessionOver
	case <-ctx.Done():
		<-s.slots
		return ctx.Err()
	}
	r := &request{}
	answer := make(chan error, 1)
	s.mu.Lock()
	if isClosed(over) { // end waits for no more calls
		s.mu.Unlock()
		<-s.turn
		<-s.slots
		return zk.ErrSessionOver
	}
	s.leaver.Store(r)
	s.calls.Go(func() {
		err := call(r)
		for errors.Is(err, gozk.ErrConnectionClosed) && !r.left.Load() && !isClosed(over) {
			err = call(r) // the connection was lost as it was to leave: it waits for another one
		}
		if s.leaver.CompareAndSwap(r, nil) { // it has never left
			<-s.turn
		}
		if errors.Is(err, gozk.ErrSessionExpired) || errors.Is(err, gozk.ErrSessionMoved) {
			s.disconnect() // the next handshake tells what has become of the session, and its event comes first
		}
		answer <- outcome(err, r.left.Load(), isClosed(over))
		<-s.slots
	})
	s.mu.Unlock()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// requestLeaves hands on the turn. The conn calls it as it writes a request, and is told which; nil: one that nobody waits for any more.
func (s *session) requestLeaves() *request {
	r := s.leaver.Swap(nil)
	if r != nil {
		r.left.Store(true)
		<-s.turn
	}
	return r
}

// libraryEvent is called by the library's goroutines, one after the other.
func (s *session) libraryEvent(e gozk.Event) {
	switch {
	case e.Type == gozk.EventSession && e.State == gozk.StateHasSession:
		s.isConnected = true
		s.emit(zk.Event{Type: zk.Connected})
		if !isClosed(s.ready) {
			close(s.ready)
		}
	case e.Type == gozk.EventSession && e.State == gozk.StateDisconnected:
		s.watchesEnd()
		if s.isConnected {
			s.isConnected = false
			s.emit(zk.Event{Type: zk.Disconnected})
		}
	case e.Type == gozk.EventNodeChildrenChanged || e.Type == gozk.EventNodeDeleted:
		s.watchEnds(e.Path)
	}
}

func (s *session) emit(e zk.Event) {
	if !s.quiet.Load() {
		s.events(e)
	}
}

// admit judges a server's handshake. An error ends the connection before the library sees the answer: an id of 0 says that the
// session has expired, and would have the library begin a new one.
func (s *session) admit(id int64, timeout time.Duration) error {
	switch known := s.id.Load(); {
	case known == 0 && id == 0:
		return errors.New("the server refuses a new session")
	case known != 0 && id != known:
		s.expire()
		return zk.ErrSessionOver
	case timeout <= 0:
		return fmt.Errorf("the server grants a session timeout of %v", timeout) // over which the library would panic
	}
	s.id.Store(id)
	s.timeout.Store(int64(timeout))
	return nil
}

func (s *session) expire() {
	s.expired.Store(true)
	s.emit(zk.Event{Type: zk.Expired}) // before any request says so
	s.refuse()
	go s.end() // Close waits for it, too
}

// refuse has all requests refused from now on.
func (s *session) refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !isClosed(s.over) {
		close(s.over)
	}
}

// end stops all that belongs to the session, and waits until it has stopped.
func (s *session) end() {
	s.ending.Do(func() {
		s.refuse()
		s.mu.Lock()
		s.cancel()
		s.mu.Unlock()
		s.disconnect()
		select { // when the library has answered all that had left; it takes a race with these answers lightly
		case <-s.parked:
		case <-s.libraryDone:
		}
		s.lib.Close()
		<-s.libraryDone
		s.calls.Wait()
	})
}

// park tells that the library's goroutine waits to be told to stop, and does nothing else any more.
func (s *session) park() {
	if !isClosed(s.parked) {
		close(s.parked)
	}
}

// use makes c the session's connection, unless the session has ended.
func (s *session) use(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return zk.ErrSessionOver
	}
	s.conn = c
	return nil
}

func (s *session) disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

func (s *session) watchIsSet(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches[path] = struct{}{}
}

func (s *session) watchEnds(path string) {
	s.mu.Lock()
	delete(s.watches, path)
	s.mu.Unlock()
	s.emit(zk.Event{Type: zk.ChildrenChanged, Path: path})
}

// watchesEnd tells of a change under every watch: none outlives its connection.
func (s *session) watchesEnd() {
	s.mu.Lock()
	paths := slices.Collect(maps.Keys(s.watches))
	s.mu.Unlock()
	for _, path := range paths {
		s.watchEnds(path)
	}
}

func (s *session) failed(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = err
	return err
}

func (s *session) lastFailure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// Close closes the session, see [zk.Session]. It returns when nothing of the session is left in this process, which may be a second after ctx has ended.
func (s *session) Close(ctx context.Context) error {
	s.quiet.Store(true)
	s.refuse()
	cause := s.goodbye(ctx)
	s.end()
	if s.closed.Load() || s.expired.Load() {
		return nil
	}
	return fmt.Errorf("close the ZooKeeper session %#x: %w; nobody has confirmed it, so it lasts until it expires, which takes %v", s.ID(), cause, s.Timeout())
}

// goodbye asks the servers to close the session. The library tries that once and does not tell what came of it: so first an ordinary request shows
// that there is a connection, and that the requests before it are answered.
func (s *session) goodbye(ctx context.Context) error {
	for {
		err := s.submit(ctx, s.ctx.Done(), func(*request) error {
			_, _, err := s.lib.Exists("/")
			return err
		})
		if ctx.Err() != nil || errors.Is(err, zk.ErrSessionOver) {
			return err
		}
		if !errors.Is(err, zk.ErrConnectionLost) {
			break // answered, with whatever
		}
	}
	go s.lib.Close() // end calls it too, and so waits for this
	select {
	case <-s.libraryDone:
		return zk.ErrConnectionLost // unless s.closed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
