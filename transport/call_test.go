package transport

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

func TestTheWholeRequestTravels(t *testing.T) {
	want := &object.Request{
		Key: object.Key{Type: "list", ID: "ö/1"}, Method: "Add", Args: []byte{1, 2, 3},
		Caller: object.Caller{ID: "ada", Attributes: map[string]string{"role": "admin", "": strings.Repeat("x", 300)}},
		Path:   []object.Key{{Type: "user", ID: "u"}, {Type: "list", ID: strings.Repeat("i", 200)}},
		Mode:   object.PutMode{Creates: true, Conditional: true, Version: 1 << 60},
	}
	var got object.Request
	var until time.Time
	var hasDeadline bool
	to := listen(t, open(t, Config{Handler: func(ctx context.Context, r *object.Request) ([]byte, error) {
		got = *r
		until, hasDeadline = ctx.Deadline()
		return nil, nil
	}}))
	client := open(t, Config{})
	reply, err := client.Call(t.Context(), to, want)
	if err != nil || reply == nil || len(reply) != 0 {
		t.Errorf("an empty reply is empty, not nil: %v, %v", reply, err)
	}
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("got  %+v\nwant %+v", got, *want)
	}
	if hasDeadline {
		t.Errorf("a call without a deadline was given %v", until)
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	latest := time.Now().Add(time.Hour)
	if _, err := client.Call(ctx, to, want); err != nil {
		t.Fatal(err)
	}
	if end, _ := ctx.Deadline(); !hasDeadline || until.Before(latest.Add(-time.Minute)) || until.After(end.Add(time.Minute)) {
		t.Errorf("the deadline arrived as %v, the caller's is %v", until, end)
	}
}

func TestErrorsComeBackAsTheyWouldFromHere(t *testing.T) {
	owner := object.Member{Incarnation: uuid.New(), Session: 3, Name: "c", Address: "127.0.0.1:9"}
	elsewhere := &object.NotOwnerError{Key: object.Key{Type: "list", ID: "l"}, Owner: owner}
	var next error
	to := listen(t, open(t, Config{Handler: func(context.Context, *object.Request) ([]byte, error) { return nil, next }}))
	client := open(t, Config{})
	for _, next = range []error{elsewhere, fmt.Errorf("list/l: %w", elsewhere), errors.New("todo: forbidden"), errors.New(""), object.ErrCycle,
		errors.New(strings.Repeat("x", MinFrame)), fmt.Errorf("%w: %w", object.ErrUnavailable, context.DeadlineExceeded)} {
		_, err := client.Call(t.Context(), to, ask(""))
		var remote *object.RemoteError
		if want := object.NewRemoteError(next); !errors.As(err, &remote) || !reflect.DeepEqual(remote, want) {
			t.Errorf("%+v arrived as %+v", want, err)
		}
	}
}

// What a later version adds at the end of a failure is passed over; one that had no errors of the application's said nothing of them.
func TestFailuresOfOtherVersionsAreRead(t *testing.T) {
	want := object.NewRemoteError(object.ErrCycle)
	b := appendFailure(nil, want)
	if got, err := readFailure(b[:len(b)-1]); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	want.Crossing = []object.CrossedError{{Name: "a"}, {Name: "b", Value: []byte("c")}}
	if got, err := readFailure(append(appendFailure(nil, want), 1, 2, 3)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A read method that calls testing's FailNow, for example: its caller need not wait for ever.
func TestAHandlerThatExitsItsGoroutineIsAnswered(t *testing.T) {
	to := listen(t, open(t, Config{MaxInFlight: 1, Handler: func(context.Context, *object.Request) ([]byte, error) { runtime.Goexit(); return nil, nil }}))
	client := open(t, Config{})
	for range 2 {
		if _, err := client.Call(t.Context(), to, ask("")); !errors.Is(err, object.ErrUnknownOutcome) {
			t.Error(err)
		}
	}
}

// blocking handles requests that say "wait": it tells that they have begun, and waits for their context or for release.
type blocking struct {
	begun, ended chan string
	release      chan struct{}
}

func newBlocking() *blocking {
	return &blocking{make(chan string, 100), make(chan string, 100), make(chan struct{})}
}

func (b *blocking) handle(ctx context.Context, r *object.Request) ([]byte, error) {
	if string(r.Args) != "wait" {
		return r.Args, nil
	}
	b.begun <- r.Key.ID
	var err error
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-b.release:
	}
	b.ended <- r.Key.ID
	return r.Args, err
}

func TestACancelledCallEndsItsHandler(t *testing.T) {
	b := newBlocking()
	to := listen(t, open(t, Config{Handler: b.handle, MaxInFlight: 1}))
	client := open(t, Config{})
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-b.begun; cancel() }()
		_, err := client.Call(ctx, to, ask("wait"))
		if !errors.Is(err, object.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) || errors.Is(err, object.ErrUnavailable) {
			t.Fatal(err)
		}
		<-b.ended
		// Its place is free again once the other side has said that the handler has returned.
		for {
			_, err := client.Call(t.Context(), to, ask("x"))
			if err == nil {
				break
			} else if !errors.Is(err, object.ErrOverloaded) {
				t.Fatal(err)
			}
		}
	}
}

func TestACallThatHasEndedIsNotMade(t *testing.T) {
	client := open(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := client.Call(ctx, object.Member{Address: "127.0.0.1:1"}, ask(""))
	if !errors.Is(err, object.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	_, err = client.Call(t.Context(), object.Member{Name: "c"}, ask(""))
	if !errors.Is(err, object.ErrUnavailable) || !strings.Contains(err.Error(), "no address") {
		t.Error(err)
	}
}

func TestCallsInFlightAreLimited(t *testing.T) {
	b := newBlocking()
	to := listen(t, open(t, Config{Handler: b.handle, MaxInFlight: 3}))
	client := open(t, Config{})
	var calls sync.WaitGroup
	for range 3 {
		calls.Go(func() {
			if _, err := client.Call(t.Context(), to, ask("wait")); err != nil {
				t.Error(err)
			}
		})
	}
	for range 3 {
		<-b.begun
	}
	_, err := client.Call(t.Context(), to, ask("x"))
	if !errors.Is(err, object.ErrOverloaded) || !errors.Is(err, object.ErrUnavailable) {
		t.Error(err)
	}
	close(b.release)
	calls.Wait()
	if _, err := client.Call(t.Context(), to, ask("x")); err != nil {
		t.Error(err)
	}
}

func TestFramesAreLimited(t *testing.T) {
	var size atomic.Int64
	handler := func(context.Context, *object.Request) ([]byte, error) { return make([]byte, size.Load()), nil }
	to := listen(t, open(t, Config{Handler: handler, MaxFrame: MinFrame}))
	client := open(t, Config{MaxFrame: 2 * MinFrame})
	big := ask(strings.Repeat("x", MinFrame))
	_, err := client.Call(t.Context(), to, big)
	if !errors.Is(err, object.ErrTooLarge) || !errors.Is(err, object.ErrUnavailable) {
		t.Error(err)
	}
	size.Store(2*MinFrame - headerBytes)
	if reply, err := client.Call(t.Context(), to, ask("")); err != nil || int64(len(reply)) != size.Load() {
		t.Error(len(reply), err)
	}
	size.Add(1)
	_, err = client.Call(t.Context(), to, ask(""))
	var answered *object.RemoteError // and not a lost connection
	if !errors.As(err, &answered) || !errors.Is(err, object.ErrUnknownOutcome) || errors.Is(err, object.ErrUnavailable) {
		t.Error(err)
	}
}

// Many callers with arguments of all sizes, some of which give up: each gets its own reply or an error that says what became of it.
func TestConcurrentCallsGetTheirOwnReplies(t *testing.T) {
	to := listen(t, open(t, Config{Handler: echo}))
	client := open(t, Config{})
	var callers sync.WaitGroup
	for i := range 64 {
		callers.Go(func() {
			for j := range 50 {
				args := strings.Repeat(fmt.Sprintf("%d.%d;", i, j), 1+(i*j*j)%7000)
				ctx, cancel := context.WithCancel(t.Context())
				if (i+j)%7 == 0 {
					go cancel()
				}
				reply, err := client.Call(ctx, to, ask(args))
				switch {
				case err == nil && string(reply) != args:
					t.Errorf("caller %d got the reply of another", i)
				case err != nil && (!errors.Is(err, context.Canceled) || errors.Is(err, object.ErrUnavailable) == errors.Is(err, object.ErrUnknownOutcome)):
					t.Error(err)
				}
				cancel()
			}
		})
	}
	callers.Wait()
}
