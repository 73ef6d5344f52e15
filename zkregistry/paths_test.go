package zkregistry

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

func FuzzEscape(f *testing.F) {
	for _, id := range []string{"a", ".", "..", "a/b", "%2F", "é", "\x00", "\u200b", "zookeeper", "a b", "-1", "~"} {
		f.Add(id, "a")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if !utf8.ValidString(a) || a == "" {
			t.Skip()
		}
		name := escape(a)
		if name == "." || name == ".." || strings.ContainsFunc(name, func(r rune) bool { return r == '/' || r < ' ' || r > '~' }) {
			t.Errorf("%q becomes %q, which ZooKeeper refuses", a, name)
		}
		if (name == escape(b)) != (a == b) {
			t.Errorf("%q and %q become %q and %q", a, b, name, escape(b))
		}
	})
}

func FuzzContender(f *testing.F) {
	f.Add("abc.1-0000000001")
	f.Add("1y2p0ij32e8e7.1z-2147483647")
	f.Add("x")
	f.Fuzz(func(t *testing.T, name string) {
		c, ok := parseContender(name)
		if ok && c.name != name {
			t.Errorf("%q is taken for %q", name, c.name)
		}
	})
}

func TestAnAttemptIsKnownByItsName(t *testing.T) {
	for _, a := range []attempt{{1, 1}, {-1, 1 << 40}, {0x1000abcdef012345, 36}} {
		if c, ok := parseContender(a.prefix() + "0000000042"); !ok || c.attempt != a || c.sequence != 42 {
			t.Errorf("%v is read as %v", a, c)
		}
	}
}

// The order is that of the sequence numbers alone, and junk is left out.
func TestTheLowestSequenceComesFirst(t *testing.T) {
	all := contenders([]string{"z.1-0000000003", "a.2-0000000010", "junk", "m.1-0000000001", "lock-0000000000", "a.-0000000000"})
	var names []string
	for _, c := range all {
		names = append(names, c.name)
	}
	if got := strings.Join(names, " "); got != "m.1-0000000001 z.1-0000000003 a.2-0000000010" {
		t.Error(got)
	}
}

func TestParse(t *testing.T) {
	good := map[string]Location{
		"zk://a:2181/todo": {[]string{"a:2181"}, "/todo", 0},
		"zk://a,b:1,[::1]:2181/apps/todo?session_timeout=9s": {[]string{"a:2181", "b:1", "[::1]:2181"}, "/apps/todo", 9 * time.Second},
	}
	for url, want := range good {
		got, err := Parse(url)
		if err != nil || strings.Join(got.Servers, ",") != strings.Join(want.Servers, ",") || got.Root != want.Root || got.SessionTimeout != want.SessionTimeout {
			t.Errorf("%s: %+v, %v", url, got, err)
		}
	}
	for url, mentions := range map[string]string{
		"http://a/b":                        "zk://",
		"zk://":                             "no server",
		"zk://a":                            "no root",
		"zk://a/":                           "no root",
		"zk://a,,b/c":                       "no server",
		"zk://a:x/c":                        "no server",
		"zk://u:secret@a/c":                 "no user",
		"zk://a/c/":                         "no root",
		"zk://a//c":                         "no root",
		"zk://a/c/../d":                     "part of the root",
		"zk://a/c\x00":                      "part of the root",
		"zk://a/zookeeper":                  "ZooKeeper's own",
		"zk://a/c?timeout=1s":               "timeout",
		"zk://a/c?session_timeout=soon":     "soon",
		"zk://a/c?session_timeout=-1s":      "-1s",
		"zk://a/c?session_timeout=%zz":      "invalid",
		"zk://a/c?session_timeout=1s&x=%41": "x",
	} {
		_, err := Parse(url)
		if err == nil || !strings.Contains(err.Error(), mentions) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v; want %q in it", url, err, mentions)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("zk://a:1,b/c?session_timeout=3s")
	f.Fuzz(func(t *testing.T, url string) {
		if l, err := Parse(url); err == nil && (len(l.Servers) == 0 || !strings.HasPrefix(l.Root, "/") || l.SessionTimeout < 0) {
			t.Errorf("%q: %+v", url, l)
		}
	})
}

func TestAMemberThatCannotBeReadIsWaitedForLong(t *testing.T) {
	m := memberInfo{object.Member{Incarnation: uuid.New(), Session: 7, Name: "n", Address: "a:1",
		Types: []object.Served{{Type: "list", Layout: 2, Methods: []string{"Add"}}}}, 1500 * time.Millisecond}
	data, err := encodeMember(m)
	if err != nil {
		t.Fatal(err)
	}
	pair := pairName(m.Member)
	if got, err := decodeMember(pair, data); err != nil || got.lease != m.lease || got.Name != "n" || got.Session != 7 || got.Incarnation != m.Incarnation || got.Types[0].Layout != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, data := range []string{"", "x", "{}", `{"lease_ms":-5}`, `{"lease_ms":1e300}`, `{"lease_ms":99999999999}`} {
		if got, err := decodeMember(pair, []byte(data)); err == nil || got.lease != unreadableLease || got.Incarnation != m.Incarnation {
			t.Errorf("%q: %+v, %v", data, got, err)
		}
	}
}
