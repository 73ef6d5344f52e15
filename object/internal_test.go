package object

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Moments that no caller can arrange.

type number struct{ N int }

var numbers = &Type[number]{Name: "number"}

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

func (gatedCommitter) Purge(context.Context, Key, Tag) error { return nil }

// script runs the test on a host whose serving nobody sweeps or tears down but the test.
func script(t *testing.T, test func(t *testing.T, h *Host, s *serving, session *scriptedSession, gate chan struct{})) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		h, err := NewHost(HostConfig{Committer: gatedCommitter{gate}}, numbers)
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
		if err := <-answer; !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("error %v", err)
		}
	})
}

// A put that comes back after the object was given up changes nothing any more.
func TestALateResultIsIgnored(t *testing.T) {
	script(t, func(t *testing.T, h *Host, s *serving, session *scriptedSession, gate chan struct{}) {
		go numbers.On(h).Put(context.Background(), "a", number{1})
		synctest.Wait()
		a := h.types["number"].lookup("a")
		a.abandon(context.Background(), errors.New("given up"))
		close(gate)
		synctest.Wait()
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
			h.Serve(t.Context(), &failingSession{session})
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
