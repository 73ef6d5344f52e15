package faults

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// blobs is a server that keeps what is put.
type blobs struct {
	mu   sync.Mutex
	m    map[string]string
	host string // of the last request
}

func (b *blobs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.host = r.Host
	if r.Method == http.MethodPut {
		if _, taken := b.m[r.URL.Path]; taken && r.Header.Get("If-None-Match") == "*" {
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		b.m[r.URL.Path] = string(body)
		return
	}
	w.Header().Set("Etag", `"e"`)
	io.WriteString(w, b.m[r.URL.Path])
}

func (b *blobs) get(path string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.m[path]
}

// newStore returns a server, a proxy in front of it, and a client.
func newStore(t *testing.T) (*blobs, *Store, *http.Client) {
	t.Helper()
	b := &blobs{m: make(map[string]string)}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	store, err := NewStore(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	transport := &http.Transport{DisableKeepAlives: true} // which would try again by themselves
	t.Cleanup(transport.CloseIdleConnections)
	return b, store, &http.Client{Transport: transport}
}

func request(t *testing.T, client *http.Client, method, url, body string) (int, string, error) {
	t.Helper()
	return requestWith(t.Context(), t, client, method, url, body)
}

func requestWith(ctx context.Context, t *testing.T, client *http.Client, method, url, body string) (int, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("If-None-Match", "*")
	response, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	return response.StatusCode, string(said), err
}

// eventually waits until ok does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 10 s: %s", what)
		}
	}
}

func TestStorePassesRequestsOn(t *testing.T) {
	b, store, client := newStore(t)
	if status, _, err := request(t, client, "PUT", store.URL()+"/bucket/a%20b", "one"); status != 200 || err != nil {
		t.Fatalf("PUT: %d %v", status, err)
	}
	if status, _, err := request(t, client, "PUT", store.URL()+"/bucket/a%20b", "two"); status != 412 || err != nil {
		t.Fatalf("second PUT: %d %v, want the server's 412", status, err)
	}
	if status, body, err := request(t, client, "GET", store.URL()+"/bucket/a%20b", ""); status != 200 || body != "one" || err != nil {
		t.Fatalf("GET: %d %q %v", status, body, err)
	}
	if want := strings.TrimPrefix(store.URL(), "http://"); b.host != want {
		t.Errorf("the server was told host %q, want %q, as the client signed it", b.host, want)
	}
	puts := store.Puts()
	if len(puts) != 2 || puts[0].Path != "/bucket/a b" || string(puts[0].Body) != "one" || puts[0].Status != 200 || puts[1].Status != 412 {
		t.Errorf("log of PUTs: %+v", puts)
	}
}

func TestStoreFaultsOfAPut(t *testing.T) {
	tests := map[string]struct {
		fault   StoreFault
		status  int // 0: an error
		arrives bool
	}{
		"answer lost after the commit":   {StoreFault{Reset: true}, 0, true},
		"500 after the commit":           {StoreFault{Status: 500}, 500, true},
		"409 in place of the commit":     {StoreFault{Status: 409, Unsent: true}, 409, false},
		"503 in place of the commit":     {StoreFault{Unsent: true}, 503, false},
		"reset in place of the commit":   {StoreFault{Unsent: true, Reset: true}, 0, false},
		"another method":                 {StoreFault{Method: "GET", Status: 500}, 200, true},
		"another key":                    {StoreFault{Key: "/bucket/other", Status: 500}, 200, true},
		"the second one":                 {StoreFault{Skip: 1, Status: 500}, 200, true},
		"delayed, with a patient client": {StoreFault{Late: 10 * time.Millisecond}, 200, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b, store, client := newStore(t)
			rule := store.Add(test.fault)
			status, body, err := request(t, client, "PUT", store.URL()+"/bucket/key", "state")
			if status != test.status || (err == nil) != (test.status != 0) {
				t.Errorf("PUT: %d %q %v, want %d", status, body, err, test.status)
			}
			if test.fault.Reset && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
				t.Errorf("PUT: %v, want a reset", err)
			}
			if (b.get("/bucket/key") == "state") != test.arrives || (len(store.Puts()) == 1) != test.arrives {
				t.Errorf("the server has %q, the log %+v", b.get("/bucket/key"), store.Puts())
			}
			rule.Remove()
			if status, _, err := request(t, client, "PUT", store.URL()+"/bucket/key2", "state"); status != 200 || err != nil {
				t.Errorf("PUT without the fault: %d %v", status, err)
			}
		})
	}
}

func TestStoreRequestLandsAfterItsClientHasGivenUp(t *testing.T) {
	b, store, client := newStore(t)
	rule := store.Add(StoreFault{Late: 200 * time.Millisecond, Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for rule.Hits() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if _, _, err := requestWith(ctx, t, client, "PUT", store.URL()+"/bucket/key", "late"); !errors.Is(err, context.Canceled) {
		t.Fatalf("PUT: %v", err)
	}
	if b.get("/bucket/key") != "" {
		t.Skip("SKIPPED: this machine was too slow to look before the request landed")
	}
	eventually(t, "the PUT lands", func() bool { return b.get("/bucket/key") == "late" && len(store.Puts()) == 1 })
}

func TestStoreCloseDropsWhatIsLate(t *testing.T) {
	b, store, client := newStore(t)
	rule := store.Add(StoreFault{Late: time.Hour})
	failed := make(chan error, 1)
	go func() {
		_, _, err := request(t, client, "PUT", store.URL()+"/bucket/key", "late")
		failed <- err
	}()
	eventually(t, "the fault hits", func() bool { return rule.Hits() == 1 })
	store.Close()
	if err := <-failed; err == nil || b.get("/bucket/key") != "" {
		t.Errorf("PUT: %v; the server has %q", err, b.get("/bucket/key"))
	}
}

func TestStoreSlowAndCutOffAnswers(t *testing.T) {
	b, store, client := newStore(t)
	b.m["/bucket/key"] = "a state that is long enough to be cut"
	const pause = 50 * time.Millisecond
	slow := store.Add(StoreFault{Slow: pause})
	began := time.Now()
	if status, body, err := request(t, client, "GET", store.URL()+"/bucket/key", ""); status != 200 || body != b.get("/bucket/key") || err != nil {
		t.Errorf("slow GET: %d %q %v", status, body, err)
	}
	if took := time.Since(began); took < pause {
		t.Errorf("a GET slowed by %v took %v", pause, took)
	}
	slow.Remove()
	store.Add(StoreFault{CutOff: true})
	if status, body, err := request(t, client, "GET", store.URL()+"/bucket/key", ""); status != 200 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("GET that is cut off: %d %q %v", status, body, err)
	}
}

func TestStoreFaultCounts(t *testing.T) {
	_, store, client := newStore(t)
	rule := store.Add(StoreFault{Skip: 1, Times: 2, Status: 500})
	var got []int
	for range 5 {
		status, _, err := request(t, client, "GET", store.URL()+"/bucket/key", "")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, status)
	}
	for i, want := range []int{200, 500, 500, 200, 200} {
		if got[i] != want {
			t.Fatalf("answers %v, and the fault skips one and hits two", got)
		}
	}
	if rule.Hits() != 2 {
		t.Errorf("hits: %d", rule.Hits())
	}
}

func TestStoreFaultsOfSomeRequests(t *testing.T) {
	_, store, client := newStore(t)
	var hits atomic.Int64
	for _, f := range []StoreFault{
		{From: "127.0.0.2", Status: 500},
		{Spare: 1, Status: 503, Hit: func(string) { hits.Add(1) }, Lateness: func() time.Duration { return 20 * time.Millisecond }},
	} {
		store.Add(f)
	}
	for end := time.Now().Add(10 * time.Second); hits.Load() < 3 && time.Now().Before(end); { // more than one in a second
		began := time.Now()
		switch status, _, err := request(t, client, "GET", store.URL()+"/bucket/key", ""); {
		case err != nil || status != 200 && status != 503:
			t.Fatalf("answer %d, %v", status, err)
		case status == 503 && time.Since(began) < 20*time.Millisecond:
			t.Errorf("a late request was answered after %v", time.Since(began))
		}
	}
	if hits.Load() < 3 {
		t.Errorf("%d were hit", hits.Load())
	}
	request(t, client, "PUT", store.URL()+"/bucket/key", "one")
	if puts := store.Take(); len(puts) != 1 || len(store.Puts()) != 0 || store.Pending() != 0 {
		t.Errorf("taken: %v; left: %v; pending: %d", puts, store.Puts(), store.Pending())
	}
}
