package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/highlandertest"
	"github.com/highlander-go/highlander/integration/faults"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
)

// A complaint is a test that only notes what is wrong.
type complaint struct {
	testing.TB
	said []string
}

func (c *complaint) Helper() {}
func (c *complaint) Errorf(format string, args ...any) {
	c.said = append(c.said, fmt.Sprintf(format, args...))
}

// What the check of cells' histories is for.
func TestHistoriesOfCellsAreChecked(t *testing.T) {
	type call struct {
		cellCall
		answer cellState
	}
	add := func(by, count int64) call { return call{cellCall{Add: by}, cellState{Count: count}} }
	read := func(count int64) call { return call{cellCall{}, cellState{Count: count}} }
	for name, test := range map[string]struct {
		calls []call // one after the other
		wrong bool
	}{
		"nothing wrong":                {[]call{add(2, 2), read(2), add(3, 5), read(5)}, false},
		"a lost update":                {[]call{add(2, 2), add(3, 3)}, true},
		"an update that is lost later": {[]call{add(2, 2), add(3, 5), read(2)}, true},
		"an update that is made twice": {[]call{add(2, 4)}, true},
		"a stale read":                 {[]call{add(2, 2), read(2), add(3, 5), read(2), read(5)}, true},
		"a word that is put twice": {[]call{
			{cellCall{Word: "a"}, cellState{}}, {cellCall{Word: "b"}, cellState{Word: "a"}}, {cellCall{}, cellState{Word: "a"}}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir()) // for the picture
			history := highlandertest.NewHistory(cellModel(cellState{}))
			for _, c := range test.calls {
				_, _ = history.Do(0, "cell", c.cellCall, func() (cellState, error) { return c.answer, nil })
			}
			c := &complaint{TB: t}
			history.Check(c)
			if got := len(c.said) > 0; got != test.wrong {
				t.Errorf("complains: %q", c.said)
			}
			if test.wrong && !strings.Contains(c.said[0], ".html") {
				t.Errorf("it does not say where the picture is: %q", c.said)
			}
		})
	}
}

// What the audit is for. The server accepts whatever it is sent.
func TestPUTsAreAudited(t *testing.T) {
	a, b := [16]byte(uuid.New()), [16]byte(uuid.New())
	type put struct {
		node           [16]byte
		epoch, version uint64
		on             int // of the puts before it, the one whose tag it is put on; -1: none
	}
	for name, test := range map[string]struct {
		puts  []put
		wrong bool
	}{
		"nothing wrong":                     {[]put{{a, 1, 1, -1}, {a, 1, 2, 0}, {b, 2, 3, 1}}, false},
		"a wrong condition":                 {[]put{{a, 1, 1, -1}, {a, 1, 2, 0}, {b, 2, 2, 0}}, true},
		"a wrong condition, versions right": {[]put{{a, 1, 1, -1}, {a, 1, 2, 0}, {a, 1, 3, 0}}, true},
		"two first ones":                    {[]put{{a, 1, 1, -1}, {b, 1, 1, -1}}, true},
		"two writers of an epoch":           {[]put{{a, 1, 1, -1}, {b, 1, 2, 0}}, true},
		"an epoch that goes back":           {[]put{{a, 1, 1, -1}, {b, 2, 2, 0}, {a, 1, 3, 1}}, true},
		"a version that is left out":        {[]put{{a, 1, 1, -1}, {a, 1, 3, 0}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			tags := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("ETag", fmt.Sprintf(`"%d"`, tags))
				tags++
			}))
			defer server.Close()
			proxy, err := faults.NewStore(server.URL)
			must(t, err)
			defer proxy.Close()
			key := object.Key{Type: "cell", ID: "c"}
			for _, p := range test.puts {
				body, err := persist.AppendRecord(nil, key, 1, &object.Record{Epoch: p.epoch, Version: p.version, Incarnation: p.node, State: []byte{1}})
				must(t, err)
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, proxy.URL()+"/bucket/root/"+persist.BlobName(key), strings.NewReader(string(body)))
				must(t, err)
				if p.on < 0 {
					r.Header.Set("If-None-Match", "*")
				} else {
					r.Header.Set("If-Match", fmt.Sprintf(`"%d"`, p.on))
				}
				answer, err := web.RoundTrip(r)
				must(t, err)
				answer.Body.Close()
			}
			var audit putAudit
			must(t, audit.take("/bucket/root", proxy.Take()))
			if found := audit.violations(); len(found) > 0 != test.wrong {
				t.Errorf("finds %q", found)
			}
			if audit.taken != len(test.puts) {
				t.Errorf("it has seen %d of %d PUTs", audit.taken, len(test.puts))
			}
		})
	}
}
