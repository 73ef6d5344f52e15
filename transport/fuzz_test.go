package transport

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"reflect"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/highlander-go/highlander/object"
)

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReader(r) }

func TestRequestsAreReadAsWritten(t *testing.T) {
	key := rapid.Custom(func(t *rapid.T) object.Key {
		return object.Key{Type: rapid.String().Draw(t, "type"), ID: rapid.String().Draw(t, "id")}
	})
	rapid.Check(t, func(t *rapid.T) {
		want := object.Request{
			Key: key.Draw(t, "key"), Method: rapid.String().Draw(t, "method"), Args: rapid.SliceOfN(rapid.Byte(), 0, 70000).Draw(t, "args"),
			Caller: object.Caller{ID: rapid.String().Draw(t, "caller")},
			Mode:   object.PutMode{Creates: rapid.Bool().Draw(t, "creates"), Conditional: rapid.Bool().Draw(t, "conditional"), Version: rapid.Uint64().Draw(t, "version")},
		}
		if p := rapid.SliceOfN(key, 0, 40).Draw(t, "path"); len(p) > 0 {
			want.Path = p
		}
		if a := rapid.MapOfN(rapid.String(), rapid.String(), 0, 40).Draw(t, "attributes"); len(a) > 0 {
			want.Caller.Attributes = a
		}
		var got object.Request
		id := uuid.New()
		if to, timeout, err := readRequest(appendRequest(nil, id, &want, 7), make(names), &got); err != nil || to != id || timeout != 7 || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
		}
	})
}

func TestAFrameOverTheLimitIsNotRead(t *testing.T) {
	b := appendFrame(nil, kindReply, 1, make([]byte, 100))
	for limit, want := range map[int]bool{len(b): true, len(b) - 1: false} {
		r := frameReader{r: newReader(bytes.NewReader(b)), limit: limit}
		if _, err := r.next(); (err == nil) != want || err != nil && !errors.Is(err, errMalformed) {
			t.Errorf("a frame of %d bytes, limit %d: %v", len(b), limit, err)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(appendFrame(appendFrame(nil, kindPing, 0, nil), kindReply, 1, []byte("x")))
	f.Add([]byte{0, 1, 0, 0, kindReply, 0, 0, 0, 0, 0, 0, 0, 1, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = MinFrame
		r := frameReader{r: newReader(bytes.NewReader(b)), limit: limit}
		var again []byte
		for {
			got, err := r.next()
			if err != nil {
				break
			}
			if cap(got.payload) > limit {
				t.Fatalf("a frame took %d bytes", cap(got.payload))
			}
			again = appendFrame(again, got.kind, got.id, got.payload)
		}
		if !bytes.HasPrefix(b, again) {
			t.Errorf("%x was read as %x", b, again)
		}
	})
}

func FuzzHandshake(f *testing.F) {
	f.Add(rawHello().append(nil))
	f.Add([]byte("hldr\x00\x02\x00\x01x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readHello(bytes.NewReader(b))
		if err == nil && h.version == version && !bytes.HasPrefix(b, h.append(nil)) {
			t.Errorf("%x was read as %+v", b, h)
		}
	})
}

func FuzzRequest(f *testing.F) {
	r := ask("x")
	r.Caller = object.Caller{ID: "a", Attributes: map[string]string{"k": "v"}}
	r.Path = []object.Key{r.Key}
	f.Add(appendRequest(nil, uuid.Nil, r, 5))
	f.Add(appendRequest(nil, uuid.Nil, &object.Request{Args: make([]byte, 300)}, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again object.Request
		to, timeout, err := readRequest(b, make(names), &r)
		if err != nil {
			if !errors.Is(err, errMalformed) {
				t.Error(err)
			}
			return
		}
		same, later, err := readRequest(appendRequest(nil, to, &r, timeout), make(names), &again)
		if err != nil || same != to || later != timeout || !reflect.DeepEqual(r, again) {
			t.Errorf("%+v %v became %+v %v, %v", r, timeout, again, later, err)
		}
	})
}

func FuzzFailure(f *testing.F) {
	f.Add(appendFailure(nil, object.NewRemoteError(object.ErrCycle)))
	f.Add(appendFailure(nil, object.NewRemoteError(&object.NotOwnerError{Owner: object.Member{Name: "a"}})))
	f.Add(appendFailure(nil, &object.RemoteError{Crossing: []object.CrossedError{{Name: "a"}, {Name: "b", Value: []byte("c")}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := readFailure(b)
		if err != nil {
			if !errors.Is(err, errMalformed) {
				t.Error(err)
			}
			return
		}
		_ = e.Error()
		if again, err := readFailure(appendFailure(nil, e)); err != nil || !reflect.DeepEqual(again, e) {
			t.Errorf("%+v became %+v: %v", e, again, err)
		}
	})
}

// FuzzServer has a server read anything after a good handshake.
func FuzzServer(f *testing.F) {
	e, err := New(Config{Cluster: "test", MaxFrame: MinFrame, Handler: func(context.Context, *object.Request) ([]byte, error) { return nil, nil }})
	if err != nil {
		f.Fatal(err)
	}
	n := newNetwork()
	e.SetIncarnation(uuid.New())
	if err := e.listen(n); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { e.Close() })
	request := appendRequest(nil, e.here(), ask("x"), 0)
	f.Add(appendFrame(appendFrame(nil, kindRequest, 1, request), kindCancel, 1, nil))
	f.Add(appendFrame(appendFrame(nil, kindPing, 1, nil), kindRequest, 2, request[:9]))
	f.Fuzz(func(t *testing.T, b []byte) {
		nc, err := n.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := greet(nc, rawHello()); err != nil {
			t.Fatal(err)
		}
		read := make(chan struct{})
		go func() {
			defer close(read)
			io.Copy(io.Discard, nc)
		}()
		nc.Write(b)
		nc.Close()
		<-read
	})
}

var _ net.Listener = (*network)(nil)
