package object

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander/codec"
)

// Moments that no caller can arrange.

type number struct{ N int }

var (
	numbers = &Type[number]{Name: "number"}
	shaped  = &Type[number]{Name: "shaped", Codec: Codec[number]{
		Append: func(b []byte, n number) []byte { return codec.AppendInt(codec.AppendArray(b, 1), n.N) },
		Read: func(r *codec.Reader, n *number) {
			for i := range r.Fields() {
				if i == 0 {
					codec.ReadInt(r, &n.N)
				} else {
					r.Skip()
				}
			}
		},
		Shape: func() codec.Shape { return codec.StructOf(codec.Leaf) },
	}}
)

// A scriptedSession is one whose claims and lease the test holds in its hands.
type scriptedSession struct {
	lease    *Lease
	release  func() // called by each release of a claim
	tearDown func() // ends what is served under the session
}

func (s *scriptedSession) Member() Member { return Member{} }
func (s *scriptedSession) Lease() *Lease  { return s.lease }
func (s *scriptedSession) Claim(context.Context, Key) (Claim, error) {
	return scriptedClaim{s}, nil
}
func (s *scriptedSession) Full() bool                   { return false }
func (s *scriptedSession) Retire(context.Context) error { return nil }

type scriptedClaim struct{ s *scriptedSession }

func (scriptedClaim) ServeAt() time.Duration { return 0 }
func (c scriptedClaim) Release(context.Context) error {
	if c.s.release != nil {
		c.s.release()
	}
	return nil
}

// A gatedCommitter keeps nothing and holds each write until the gate is closed.
type gatedCommitter struct{ gate chan struct{} }

func (gatedCommitter) Load(context.Context, Key) (*Record, Tag, error) { return nil, "", nil }
func (c gatedCommitter) Commit(context.Context, Key, *Record, Tag) (Tag, error) {
	<-c.gate
	return "tag", nil
}

func (gatedCommitter) List(context.Context, string, string, string, int) ([]string, string, error) {
	return nil, "", nil
}

func (gatedCommitter) Purge(context.Context, Key, Tag) error { return nil }

// script runs the test on a host whose serving nobody sweeps or tears down but the test.
func script(t *testing.T, test func(t *testing.T, h *Host, s *serving, session *scriptedSession, gate chan struct{})) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		h, err := NewHost(HostConfig{Committer: gatedCommitter{gate}}, numbers, shaped)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		lease := NewLease(func() time.Duration { return time.Since(start) }, time.Second, 3*time.Second)
		lease.Renewed(0)
		session := &scriptedSession{lease: lease}
		life, end := context.WithCancel(context.Background())
		s := &serving{host: h, session: session, lease: lease, ctx: life, tasks: make(chan *activation)}
		h.serve(s)
		tearDown := sync.OnceFunc(func() { s.tearDown(end) })
		session.tearDown = tearDown
		test(t, h, s, session, gate)
		tearDown()
		h.Close() // calls that wait for another session end
	})
}

// Who has found the object before it is released finds no state in it when the claim is given up: from then on there
// may be another owner.
func TestTheStateIsClearedBeforeTheClaimIsReleased(t *testing.T) {
	script(t, func(t *testing.T, h *Host, s *serving, session *scriptedSession, _ chan struct{}) {
		if _, err := numbers.On(h).Get(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		a := h.types["number"].lookup("a")
		released := false
		session.release = func() {
			released = true
			if a.committed.Load() != nil {
				t.Error("the state is still there when the claim is released")
			}
		}
		a.release(t.Context(), false)
		if !released || a.committed.Load() != nil {
			t.Error("not released, or not cleared")
		}
	})
}

// A write that became durable on a lapsed lease is not acknowledged when the session ends, however late the host learns it.
func TestTheEndOfTheSessionAcknowledgesNothing(t *testing.T) {
	script(t, func(t *testing.T, h *Host, s *serving, session *scriptedSession, gate chan struct{}) {
		answer := make(chan error, 1)
		go func() { answer <- numbers.On(h).Put(context.Background(), "a", number{1}) }()
		synctest.Wait()
		time.Sleep(2 * time.Second) // the lease has lapsed
		close(gate)
		synctest.Wait()
		session.lease.End(errors.New("expired"))
		synctest.Wait()
		select {
		case err := <-answer:
			t.Fatalf("answered %v between the end of the session and the teardown", err)
		default:
		}
		session.tearDown()
		h.Close() // there will be no other session under which it could be asked what became of the write
		if err := <-answer; !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("error %v", err)
		}
	})
}

// Who finds the object while it is waking, and the lease valid, must not have it run an update when the lease has lapsed before the record is
// loaded: that may be another owner's, and an update on top of it could make that owner run its own a second time.
func TestAnUpdateIsNotRunOnARecordLoadedOnALapsedLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowLoader{gate: make(chan struct{})}
		h, err := NewHost(HostConfig{Committer: store}, numbers)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var during atomic.Pointer[func()] // what happens while the clock is read
		lease := NewLease(func() time.Duration {
			now := time.Since(start)
			if happens := during.Swap(nil); happens != nil {
				(*happens)()
			}
			return now
		}, time.Second, time.Hour)
		lease.Renewed(0)
		life, end := context.WithCancel(context.Background())
		s := &serving{host: h, session: &scriptedSession{lease: lease}, lease: lease, ctx: life, tasks: make(chan *activation)}
		h.serve(s)
		defer s.tearDown(end)

		read := make(chan struct{})
		go func() {
			defer close(read)
			numbers.On(h).Get(t.Context(), "a")
		}()
		synctest.Wait() // it is being loaded
		lapse := sync.OnceFunc(func() {
			time.Sleep(2 * time.Second)
			close(store.gate)
		})
		pause := func() {
			lapse()
			time.Sleep(time.Millisecond) // it is loaded
		}
		during.Store(&pause)
		answer := make(chan error, 1)
		go func() { answer <- numbers.On(h).Put(t.Context(), "a", number{1}) }()
		time.Sleep(3 * time.Second)
		lapse()
		synctest.Wait()
		if n := store.puts.Load(); n != 0 {
			t.Errorf("%d puts on a lapsed lease", n)
		}
		during.Store(nil)
		lease.Renewed(lease.Clock()())
		if err := <-answer; err != nil {
			t.Error(err)
		}
		<-read
	})
}

// A slowLoader loads when the gate is closed, and counts what is written.
type slowLoader struct {
	gatedCommitter
	gate chan struct{}
	puts atomic.Int32
}

func (l *slowLoader) Load(context.Context, Key) (*Record, Tag, error) {
	<-l.gate
	return nil, "", nil
}

func (l *slowLoader) Commit(context.Context, Key, *Record, Tag) (Tag, error) {
	l.puts.Add(1)
	return "tag", nil
}

// A put that comes back after the object was given up changes nothing any more.
func TestALateResultIsIgnored(t *testing.T) {
	script(t, func(t *testing.T, h *Host, s *serving, session *scriptedSession, gate chan struct{}) {
		answer := make(chan error, 1)
		go func() { answer <- numbers.On(h).Put(context.Background(), "a", number{1}) }()
		synctest.Wait()
		a := h.types["number"].lookup("a")
		a.abandon(context.Background(), errors.New("given up"))
		close(gate)
		if err := <-answer; err != nil {
			t.Errorf("when it was tried again: %v", err)
		}
		if a.committed.Load() != nil {
			t.Error("an object that was given up has a state to answer from")
		}
	})
}

// A host that fails must not serve the same session a second time, for its claims are still there: the session ends with it.
func TestAHostThatFailsEndsItsSession(t *testing.T) {
	script(t, func(t *testing.T, h *Host, _ *serving, session *scriptedSession, _ chan struct{}) {
		func() {
			defer func() { recover() }()
			h.Serve(t.Context(), &failingSession{session}, nil)
		}()
		if session.lease.Err() == nil {
			t.Error("the session goes on")
		}
	})
}

// A failingSession panics in the host's hands.
type failingSession struct{ *scriptedSession }

func (*failingSession) Member() Member { panic("no member") }

// A call that asked whether the host is open before a drain must not wake its object after it.
func TestNothingWakesAfterADrain(t *testing.T) {
	script(t, func(t *testing.T, h *Host, s *serving, session *scriptedSession, _ chan struct{}) {
		if _, err := h.await(t.Context(), fromHere); err != nil { // such a call, held up here
			t.Fatal(err)
		}
		if err := h.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.mayAdd(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("an object may wake: %v", err)
		}
	})
}

func TestHowAStoreDoes(t *testing.T) {
	var (
		failure    = errors.New("503")
		over, stop = context.WithCancel(t.Context())
	)
	stop()
	type step struct {
		notes []error // since the look before
		ctx   context.Context
		times int
		want  StoreState // after the looks
	}
	for name, steps := range map[string][]step{
		"at first":                   {{nil, t.Context(), 20, StoreUnknown}},
		"an answer is good for 5 s":  {{[]error{nil}, t.Context(), 1, StoreAnswers}, {nil, t.Context(), 4, StoreAnswers}, {nil, t.Context(), 1, StoreUnknown}},
		"all of these are answers":   {{[]error{ErrConditionFailed}, t.Context(), 1, StoreAnswers}, {[]error{ErrNoBlob}, t.Context(), 4, StoreAnswers}, {[]error{ErrUnreadable}, t.Context(), 5, StoreAnswers}},
		"a failure of 10 s":          {{[]error{failure}, t.Context(), 9, StoreUnknown}, {nil, t.Context(), 1, StoreFails}, {nil, t.Context(), 100, StoreFails}},
		"an answer ends it":          {{[]error{failure}, t.Context(), 10, StoreFails}, {[]error{ErrNoBlob}, t.Context(), 1, StoreAnswers}},
		"an answer now and then":     {{[]error{failure}, t.Context(), 9, StoreUnknown}, {[]error{nil, failure}, t.Context(), 9, StoreUnknown}, {nil, t.Context(), 1, StoreFails}},
		"a refusal says nothing":     {{[]error{ErrRefused}, t.Context(), 20, StoreUnknown}},
		"nor does it end a failure":  {{[]error{failure}, t.Context(), 10, StoreFails}, {[]error{ErrRefused}, t.Context(), 1, StoreFails}},
		"nor what is cut short":      {{[]error{failure}, over, 20, StoreUnknown}},
		"it fails again right after": {{[]error{failure}, t.Context(), 10, StoreFails}, {[]error{nil, failure}, t.Context(), 1, StoreAnswers}, {nil, t.Context(), 9, StoreFails}},
	} {
		t.Run(name, func(t *testing.T) {
			var h storeHealth
			for i, s := range steps {
				for _, err := range s.notes {
					h.note(s.ctx, Key{"number", "x"}, err)
				}
				for range s.times {
					h.look()
				}
				if got := h.state(); got != s.want {
					t.Fatalf("step %d: %v; want %v", i, got, s.want)
				}
			}
		})
	}
}

// What another node has put, and what was loaded, is kept encoded only if this program does not know all of it.
func TestWhatIsKnownIsNotCarried(t *testing.T) {
	script(t, func(t *testing.T, h *Host, _ *serving, _ *scriptedSession, gate chan struct{}) {
		close(gate)
		for id, args := range map[string][]byte{"known": {0x92, 0, 0x91, 1}, "unknown": {0x92, 0, 0x92, 1, 2}} {
			_, err := h.Handle(t.Context(), &Request{Key: Key{"shaped", id}, Method: putName, Mode: PutMode{Creates: true}, Args: args})
			if err != nil {
				t.Fatal(err)
			}
			if snap := h.types["shaped"].resident(id); (snap.carried != nil) != (id == "unknown") {
				t.Errorf("%s: %v is carried", id, snap.carried)
			}
			l, err := h.types["shaped"].lookup(id).decode(&Record{Version: 1, State: args[2:]}, "")
			if err != nil || (l.carried != nil) != (id == "unknown") {
				t.Errorf("%s, loaded: %+v, %v", id, l, err)
			}
		}
	})
}

// A call that comes while a node begins to serve for the first time, before it knows its own incarnation, is none for a former one.
func TestACallThatComesAsTheNodeBeginsToServe(t *testing.T) {
	script(t, func(t *testing.T, h *Host, _ *serving, _ *scriptedSession, gate chan struct{}) {
		close(gate)
		h.self.Store(nil)
		h.begun.Store(0)
		_, err := h.Handle(t.Context(), &Request{Key: Key{"shaped", "x"}, Method: putName, Mode: PutMode{Creates: true}, Args: []byte{0x92, 0, 0x91, 1}})
		if err != nil {
			t.Error(err)
		}
	})
}

// What a record has that was found in place of our own may still be asked for by this host, though it has had all answers of its own writing.
func TestWhatIsAdoptedIsNotSettled(t *testing.T) {
	script(t, func(t *testing.T, h *Host, _ *serving, _ *scriptedSession, gate chan struct{}) {
		close(gate)
		for i := range 2 {
			if err := numbers.On(h).Put(t.Context(), "a", number{i}); err != nil {
				t.Fatal(err)
			}
		}
		a := h.types["number"].lookup("a")
		synctest.Wait()
		kept := func() int {
			a.mu.Lock()
			defer a.mu.Unlock()
			var w work
			w.start(a)
			own := w.results.caller(h.flights.caller)
			if own == nil {
				return 0
			}
			return len(own.all)
		}
		if n := kept(); n != 0 {
			t.Errorf("%d results are kept of which all were told here", n)
		}
		l := &loaded{state: new(number), record: &Record{Version: 9}, requests: a.requests}
		a.mu.Lock()
		a.adopt(l)
		a.mu.Unlock()
		if n := kept(); n != 1 {
			t.Errorf("%d results are kept of a record that was adopted, want 1", n)
		}
	})
}

// The queue of an object for which somebody always waits does not grow with the updates that were made.
func TestTheQueueOfABusyObjectStaysShort(t *testing.T) {
	slow := Update("Slow", func(_ context.Context, n *number, _ None) (None, error) {
		time.Sleep(time.Millisecond)
		n.N++
		return None{}, nil
	})
	script(t, func(t *testing.T, h *Host, _ *serving, _ *scriptedSession, gate chan struct{}) {
		close(gate)
		most := 0
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for range 200 {
					if _, err := slow.Call(t.Context(), numbers.On(h).Ref("a"), None{}); err != nil {
						t.Error(err)
						return
					}
					a := h.types["number"].lookup("a")
					a.mu.Lock()
					if w := a.work; w != nil {
						most = max(most, cap(w.queue))
					}
					a.mu.Unlock()
				}
			})
		}
		group.Wait()
		if most > 64 {
			t.Errorf("room for %d updates, of which 4 at most were waiting", most)
		}
	})
}
