// Package faults stands between a node and the servers that it depends on, and breaks things as it is told to.
package faults

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// A StoreFault says what happens to which requests to an S3 server. The zero StoreFault passes all of them on.
type StoreFault struct {
	Method string  // of the requests that it is about; empty: all
	Key    string  // is part of their path, which has bucket and key; empty: all
	From   string  // address of the client that they are of, without a port; empty: all
	Skip   int     // how many of them pass before the first one is hit
	Times  int     // how many are hit; 0: all
	Chance float64 // of being hit, from 0 to 1, for each that is not skipped; 0: all are hit
	Spare  int     // so many in a second are not hit

	// Hit is told the path of each request that is hit, if it is not nil. It must not call the store.
	Hit func(path string)

	// Late is how long a request lies around before the server gets it. It gets it then whether or not the client still waits.
	Late time.Duration

	// Lateness is in place of Late, if it is not nil.
	Lateness func() time.Duration

	Unsent bool          // the server never gets it
	Status int           // is answered in place of what the server says; 0: the server's answer
	Reset  bool          // the connection is reset in place of an answer
	Slow   time.Duration // goes by between the answer's header and its body
	CutOff bool          // the connection ends in the middle of the answer's body
}

// Put is a PUT that was sent to the S3 server.
type Put struct {
	Path   string // bucket and key, with a slash before each
	Body   []byte
	Header http.Header // of the request
	Status int         // 0: the server has not answered
	Tag    string      // that the server has given to what was put
	At     time.Time   // when the server's answer came
}

// A Store is a proxy in front of an S3 server. Its methods may be called concurrently.
type Store struct {
	server *http.Server
	target *url.URL
	client *http.Transport
	ctx    context.Context // ends with Close: so do the requests that are late
	cancel context.CancelFunc
	served sync.WaitGroup
	addr   string

	mu      sync.Mutex
	rules   []*StoreRule
	puts    []Put
	pending int // requests that the server has not answered
}

// A StoreRule is a fault that is in force.
type StoreRule struct {
	store *Store
	fault StoreFault
	seen  int
	hits  int

	second time.Time // what is spared is counted from then on
	spared int
}

// NewStore returns a proxy on a loopback port, in front of the server at target, such as http://127.0.0.1:7070.
func NewStore(target string) (*Store, error) { return NewStoreAt("127.0.0.1:0", target) }

// NewStoreAt is like [NewStore], with the address that the proxy listens on.
func NewStoreAt(addr, target string) (*Store, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("store proxy: target: %w", err)
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("store proxy: %w", err)
	}
	s := &Store{target: u, addr: listener.Addr().String(), client: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.server = &http.Server{Handler: s}
	s.served.Go(func() { _ = s.server.Serve(listener) })
	return s, nil
}

// URL is where the proxy listens.
func (s *Store) URL() string { return "http://" + s.addr }

// Close ends the proxy. Requests that the server has not got yet are dropped.
func (s *Store) Close() {
	s.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.server.Shutdown(ctx) // waits for those who answer; with connections that stay open it ends with the context
	s.server.Close()
	s.served.Wait()
	s.client.CloseIdleConnections()
}

// Add puts a fault into force. Of several that fit a request, the one that was added first hits it.
func (s *Store) Add(f StoreFault) *StoreRule {
	r := &StoreRule{store: s, fault: f}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, r)
	return r
}

// Remove ends the fault. Requests that it has made late still land.
func (r *StoreRule) Remove() {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	for i, other := range r.store.rules {
		if other == r {
			r.store.rules = append(r.store.rules[:i:i], r.store.rules[i+1:]...)
			return
		}
	}
}

// Hits is how many requests the fault has hit.
func (r *StoreRule) Hits() int {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	return r.hits
}

// Take returns what [Store.Puts] would, and forgets it.
func (s *Store) Take() []Put {
	s.mu.Lock()
	defer s.mu.Unlock()
	puts := s.puts
	s.puts = nil
	return puts
}

// Puts returns every PUT that the server was sent, in the order in which it has answered them.
func (s *Store) Puts() []Put {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Put(nil), s.puts...)
}

// Pending is how many requests the server has not got yet, or not answered.
func (s *Store) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pending
}

// fault returns what is to happen to a request.
func (s *Store) fault(r *http.Request) StoreFault {
	client, _, _ := net.SplitHostPort(r.RemoteAddr)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rule := range s.rules {
		f := rule.fault
		if f.Method != "" && f.Method != r.Method || !strings.Contains(r.URL.Path, f.Key) || f.From != "" && f.From != client || f.Times > 0 && rule.hits >= f.Times {
			continue
		}
		if rule.seen++; rule.seen <= f.Skip || f.Chance > 0 && rand.Float64() >= f.Chance {
			continue
		}
		if rule.spares() {
			continue
		}
		rule.hits++
		if f.Hit != nil {
			f.Hit(r.URL.Path)
		}
		if f.Lateness != nil {
			f.Late = f.Lateness()
		}
		return f
	}
	return StoreFault{}
}

// spares tells whether a request is one of those in this second that are not hit.
func (r *StoreRule) spares() bool {
	if now := time.Now(); now.Sub(r.second) >= time.Second {
		r.second, r.spared = now, 0
	}
	r.spared++
	return r.spared <= r.fault.Spare
}

// ServeHTTP implements [http.Handler].
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := s.fault(r)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone before it has said all
	}
	arrived := make(chan *answer, 1)
	if f.Unsent {
		arrived <- &answer{status: http.StatusBadGateway}
	} else {
		s.served.Go(func() { arrived <- s.pass(r, body, f.Late) })
	}
	var a *answer
	select {
	case a = <-arrived:
	case <-r.Context().Done(): // the client has given up; the request has not
		return
	}
	switch {
	case f.Reset || a == nil:
		reset(w)
	case f.Status != 0:
		refuse(w, f.Status)
	case f.Unsent:
		refuse(w, http.StatusServiceUnavailable)
	default:
		a.write(w, r, f)
	}
}

// An answer is what the server has said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// pass brings a request to the server and returns its answer, nil if there is none. The client has no say in it.
func (s *Store) pass(r *http.Request, body []byte, late time.Duration) *answer {
	put := Put{Path: r.URL.Path, Body: body, Header: r.Header}
	s.mu.Lock()
	s.pending++
	s.mu.Unlock()
	defer func() {
		put.At = time.Now()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pending--; r.Method == http.MethodPut {
			s.puts = append(s.puts, put)
		}
	}()
	select {
	case <-time.After(late):
	case <-s.ctx.Done():
		return nil
	}
	out := r.Clone(s.ctx)
	out.URL.Scheme, out.URL.Host = s.target.Scheme, s.target.Host // Host stays: the signature covers it
	out.RequestURI, out.Close = "", false
	out.Header.Del("Expect")
	out.Body, out.ContentLength, out.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	if len(body) == 0 {
		out.Body = http.NoBody
	}
	response, err := s.client.RoundTrip(out)
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	put.Status, put.Tag = response.StatusCode, response.Header.Get("ETag")
	said, err := io.ReadAll(response.Body)
	if err != nil {
		return nil
	}
	return &answer{response.StatusCode, response.Header, said}
}

// write answers the client with what the server has said.
func (a *answer) write(w http.ResponseWriter, r *http.Request, f StoreFault) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if r.Method != http.MethodHead {
		w.Header().Set("Content-Length", fmt.Sprint(len(a.body)))
	}
	w.WriteHeader(a.status)
	_ = http.NewResponseController(w).Flush()
	select {
	case <-time.After(f.Slow):
	case <-r.Context().Done():
		return
	}
	if f.CutOff {
		_, _ = w.Write(a.body[:len(a.body)/2])
		panic(http.ErrAbortHandler) // ends the connection
	}
	_, _ = w.Write(a.body)
}

// refuse answers the way S3 servers do.
func refuse(w http.ResponseWriter, status int) {
	code := map[int]string{
		http.StatusConflict:            "ConditionalRequestConflict",
		http.StatusPreconditionFailed:  "PreconditionFailed",
		http.StatusForbidden:           "AccessDenied",
		http.StatusNotFound:            "NoSuchKey",
		http.StatusInternalServerError: "InternalError",
		http.StatusServiceUnavailable:  "SlowDown",
	}[status]
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>%d by the proxy</Message></Error>", code, status)
}

// reset ends the client's connection at once, with nothing said.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // the client has gone meanwhile
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}
