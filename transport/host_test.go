package transport_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
	"github.com/highlander-go/highlander/transport"
)

type counter struct{ N int }

var (
	add = object.Update("Add", func(ctx context.Context, c *counter, n int) (int, error) {
		if n < 0 {
			return 0, fmt.Errorf("%s may not take away", object.From(ctx).Caller.ID)
		}
		c.N += n
		return c.N, nil
	})
	// fail fails with an error whose message has so many bytes.
	fail = object.Update("Fail", func(_ context.Context, _ *counter, bytes int) (int, error) {
		return 0, errors.Join(errForbidden, &longError{strings.Repeat("é", bytes/2)})
	})
	counters = &object.Type[counter]{Name: "counter", Methods: []object.Method[counter]{add, fail}}

	errForbidden = errors.New("forbidden")
	crossing     = object.Set{Errors: []object.CrossingError{
		{
			Name: "long",
			Append: func(b []byte, err error) ([]byte, bool) {
				long := new(longError)
				return codec.AppendString(b, err.Error()), errors.As(err, &long)
			},
			Read: func(r *codec.Reader) error {
				long := new(longError)
				codec.ReadString(r, &long.text)
				return long
			},
		},
		{Name: "forbidden", Value: &errForbidden},
	}}
)

type longError struct{ text string }

func (e *longError) Error() string { return e.text }

// host opens a node: a host and its endpoint, in the registry.
func host(t *testing.T, name string, registry *memregistry.Registry, records object.Committer) *object.Host {
	t.Helper()
	var h *object.Host
	e, err := transport.New(transport.Config{Cluster: "test", Handler: func(ctx context.Context, r *object.Request) ([]byte, error) { return h.Handle(ctx, r) }})
	if err != nil {
		t.Fatal(err)
	}
	h, err = object.NewHost(object.HostConfig{Node: name, Registry: registry, Committer: records, Transport: e}, counters, crossing)
	if err != nil {
		t.Fatal(err)
	}
	address, err := e.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	me := object.Member{Incarnation: uuid.New(), Name: name, Address: address.String()}
	e.SetIncarnation(me.Incarnation)
	session, err := registry.Join(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { h.Serve(ctx, session, nil) })
	t.Cleanup(func() {
		stop()
		serving.Wait()
		session.Retire(context.Background())
		e.Close()
	})
	return h
}

func TestNodesCallEachOthersObjects(t *testing.T) {
	registry := memregistry.New(memregistry.Options{})
	defer registry.Close()
	records := persist.NewRecords(persist.NewMemory())
	t.Run("nodes", func(t *testing.T) {
		a, b := host(t, "a", registry, records), host(t, "b", registry, records)
		ctx := object.WithCaller(t.Context(), object.Caller{ID: "ada"})
		for i, h := range []*object.Host{a, b, a, b} {
			if n, err := add.Call(ctx, counters.On(h).Ref("c"), 1); err != nil || n != i+1 {
				t.Errorf("call %d: %d, %v", i+1, n, err)
			}
		}
		if _, err := add.Call(ctx, counters.On(b).Ref("c"), -1); err == nil || err.Error() != "ada may not take away" {
			t.Error(err)
		}
		c, version, err := counters.On(b).GetVersion(ctx, "c")
		if err != nil || c.N != 4 {
			t.Error(c, err)
		}
		if err := counters.On(b).PutIf(ctx, "c", version+1, counter{N: 9}); !errors.Is(err, object.ErrVersion) {
			t.Error(err)
		}
		for _, bytes := range []int{100, transport.DefaultMaxFrame * 2 / 3, 2 * transport.DefaultMaxFrame} { // of which the second fits once, not twice
			_, err := fail.Call(ctx, counters.On(b).Ref("c"), bytes)
			long, fits := new(longError), bytes == 100
			if !errors.Is(err, errForbidden) || errors.Is(err, object.ErrUnknownOutcome) || errors.As(err, &long) != fits || !utf8.ValidString(err.Error()) {
				t.Errorf("%d bytes: %.100v", bytes, err)
			}
		}
		c, version, err = counters.On(b).GetVersion(ctx, "c") // a failed update that was sent twice, for the machine was busy, has raised it
		if err != nil || c.N != 4 {
			t.Error(c, err)
		}
		if err := counters.On(b).PutIf(ctx, "c", version, counter{N: 9}); err != nil {
			t.Error(err)
		}
		if c, err := counters.On(a).Get(ctx, "c"); err != nil || c.N != 9 {
			t.Error(c, err)
		}
	})
}
