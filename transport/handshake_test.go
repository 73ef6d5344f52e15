package transport

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// shake has two sides shake hands, and returns what each was told.
func shake(dialled, listening hello) (there, here error) {
	a, b := net.Pipe()
	var both sync.WaitGroup
	both.Go(func() {
		defer a.Close()
		_, there = greet(a, dialled)
	})
	both.Go(func() {
		defer b.Close()
		_, here = welcome(b, listening)
	})
	both.Wait()
	return there, here
}

func TestAHandshakeNamesWhatDiffers(t *testing.T) {
	good := hello{version: version, self: uuid.New(), frame: MinFrame, inFlight: 1, cluster: "test"}
	for _, c := range []struct {
		what   string
		change func(*hello)
		named  []string
	}{
		{"nothing", func(*hello) {}, nil},
		{"version", func(h *hello) { h.version = 7 }, []string{"1", "7"}},
		{"cluster", func(h *hello) { h.cluster = "prod" }, []string{`"test"`, `"prod"`}},
		{"frame", func(h *hello) { h.frame = 1 }, nil},
	} {
		dialled, listening := good, good
		dialled.self = uuid.New()
		c.change(&listening)
		there, here := shake(dialled, listening)
		if c.what == "nothing" {
			if there != nil || here != nil {
				t.Error(there, here)
			}
			continue
		}
		if !errors.Is(there, errHandshake) {
			t.Errorf("%s differs: the side that dialled is told %v", c.what, there)
		}
		for _, name := range c.named {
			for side, err := range map[string]error{"dialled": there, "listens": here} {
				if err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("%s differs: the side that %s is told %v, without %s", c.what, side, err, name)
				}
			}
		}
	}
}

func TestWhatIsNotHighlanderIsNamed(t *testing.T) {
	for _, said := range []string{"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"} {
		_, err := readHello(strings.NewReader(said))
		if err == nil || !strings.Contains(err.Error(), magic) {
			t.Errorf("%q: %v", said, err)
		}
	}
	for _, said := range []string{"", "h", "hldr", "hldr\x00\x01\x00", "hldr\x00\x01\x00\x20aa", "hldr\x00\x01\xff\xff", "hldr\x00\x01\x00\x01a"} {
		if _, err := readHello(strings.NewReader(said)); err == nil {
			t.Errorf("%q: %v", said, err)
		}
	}
}

func TestGarbageDisturbsNobodyElse(t *testing.T) {
	var log journal
	to := listen(t, open(t, Config{Handler: echo, Log: log.logger()}))
	client := open(t, Config{})
	for _, garbage := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "", "hldr", strings.Repeat("\xff", 5000)} {
		nc, err := net.Dial("tcp", to.Address)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(nc, garbage)
		nc.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, nc)
		nc.Close()
		if _, err := client.Call(t.Context(), to, ask("x")); err != nil {
			t.Error(err)
		}
	}
	if !strings.Contains(log.String(), "GET ") {
		t.Errorf("the log does not say who was refused:\n%s", &log)
	}
}

func TestMalformedFramesEndTheirConnection(t *testing.T) {
	to := listen(t, open(t, Config{Handler: echo, MaxFrame: MinFrame, MaxInFlight: 1}))
	good := appendRequest(nil, to.Incarnation, ask("x"), 0)
	for name, b := range map[string][]byte{
		"too short":    append([]byte{0, 0, 0, 1, kindRequest}, make([]byte, headerBytes)...),
		"too long":     {0xff, 0xff, 0xff, 0xff, kindRequest, 0, 0, 0, 0, 0, 0, 0, 1},
		"unknown kind": appendFrame(nil, 99, 1, nil),
		"wrong side":   appendFrame(nil, kindReply, 1, nil),
		"no request":   appendFrame(nil, kindRequest, 1, []byte("x")),
		"cut request":  appendFrame(nil, kindRequest, 1, good[:len(good)-1]),
	} {
		nc := dialRaw(t, to)
		if _, err := nc.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, nc); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Pongs, and cancellations of what has been answered, are fine.
	nc := dialRaw(t, to)
	b := appendFrame(nil, kindPong, 0, nil)
	b = appendFrame(b, kindCancel, 1, nil)
	b = appendFrame(b, kindRequest, 2, good)
	nc.Write(b)
	f := frameReader{r: newReader(nc), limit: MinFrame}
	if got, err := f.next(); err != nil || got.kind != kindReply || got.id != 2 || string(got.payload) != "x" {
		t.Error(got, err)
	}
}

func TestBadAnswersEndTheirConnection(t *testing.T) {
	for name, answer := range map[string][]byte{
		"unknown id":     appendFrame(nil, kindReply, 77, nil),
		"wrong side":     appendFrame(nil, kindRequest, 1, nil),
		"no failure":     appendFrame(nil, kindFailure, 1, []byte{1}),
		"pong":           appendFrame(nil, kindPong, 1, make([]byte, 16)),
		"no refusal":     appendFrame(nil, kindRefused, 1, make([]byte, 15)),
		"nothing":        nil,
		"half an answer": appendFrame(nil, kindReply, 1, make([]byte, 10))[:15],
	} {
		to := acceptRaw(t, func(nc net.Conn) {
			f := frameReader{r: newReader(nc), limit: MinFrame}
			if _, err := f.next(); err == nil {
				nc.Write(answer)
			}
		})
		_, err := open(t, Config{}).Call(t.Context(), to, ask("x"))
		if !errors.Is(err, object.ErrUnknownOutcome) || errors.Is(err, object.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAPeerThatDoesNotShakeHandsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		e := open(t, Config{Handler: echo, MaxConns: 1})
		if err := e.listen(n); err != nil {
			t.Fatal(err)
		}
		half, err := n.dial(t.Context(), "", "") // says nothing, and takes the only place
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		client := open(t, Config{Dial: n.dial})
		to := object.Member{Incarnation: e.here(), Address: "b"}
		if _, err := client.Call(t.Context(), to, ask("x")); !errors.Is(err, object.ErrUnavailable) {
			t.Errorf("with all places taken: %v", err)
		}
		if n, err := half.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Error("something was said to a peer that has said nothing")
		}
		synctest.Wait()
		if _, err := client.Call(t.Context(), to, ask("x")); err != nil {
			t.Errorf("the place is free again: %v", err)
		}
		e.Close()

		mute := newNetwork()
		go func() {
			if nc, err := mute.Accept(); err == nil {
				io.Copy(io.Discard, nc)
			}
		}()
		client = open(t, Config{Dial: mute.dial})
		begin := time.Now()
		_, err = client.Call(t.Context(), to, ask("x"))
		if !errors.Is(err, object.ErrUnavailable) || time.Since(begin) != DefaultSilence {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		client.Close()
	})
}

func TestPlaintextStaysOnLoopback(t *testing.T) {
	e := open(t, Config{Handler: echo})
	for _, a := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0"} {
		if _, err := e.Listen(a); err == nil || !strings.Contains(err.Error(), "AllowPlaintext") {
			t.Errorf("%s: %v", a, err)
		}
	}
	if _, err := open(t, Config{Handler: echo, AllowPlaintext: true}).Listen(":0"); err != nil {
		t.Error(err)
	}
	if _, err := e.Listen("nonsense"); err == nil {
		t.Error("listened on nonsense")
	}
}

func TestANodeWithoutAHandlerDoesNotListen(t *testing.T) {
	if _, err := open(t, Config{}).Listen("127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "Handler") {
		t.Error(err)
	}
}

func TestConfigurationsAreChecked(t *testing.T) {
	for _, c := range []Config{{}, {Cluster: strings.Repeat("x", 256)}, {Cluster: "c", MaxFrame: 1}, {Cluster: "c", MaxInFlight: -1},
		{Cluster: "c", Silence: 1}, {Cluster: "c", MaxConns: -1}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

func TestHellosAreReadAsWritten(t *testing.T) {
	want := hello{version: version, self: uuid.New(), frame: 1 << 20, inFlight: 9, cluster: strings.Repeat("c", MaxClusterBytes)}
	if got, err := readHello(bytes.NewReader(want.append(nil))); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}
