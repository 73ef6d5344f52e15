package persist

import (
	"hash/fnv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/highlander-go/highlander/object"
)

func TestBlobNames(t *testing.T) {
	a200, a256 := strings.Repeat("a", 200), strings.Repeat("a", 256)
	for _, c := range []struct{ id, escaped string }{
		{"alice", "alice"},
		{"alice@example.org", "alice@example.org"},
		{"a-b_c.d", "a-b_c.d"},
		{"Alice", "%41lice"},
		{".hidden", "%2ehidden"},
		{"..", "%2e."},
		{"a/b", "a%2fb"},
		{"a+b%c", "a%2bb%25c"},
		{"a b\x00", "a%20b%00"},
		{"ü", "%c3%bc"},
		{a200, a200},
		{a200 + "b", a200 + "+/b"},
		{a200 + ".b", a200 + "+/%2eb"},
		{a256, a200 + "+/" + a256[200:]},
		{a200[:199] + "Z", a200[:199] + "%+/5a"},
		{strings.Repeat("Z", 256), "" +
			strings.Repeat("%5a", 66) + "%5+/" + "a" + strings.Repeat("%5a", 66) + "%+/" +
			"5a" + strings.Repeat("%5a", 66) + "+/" + strings.Repeat("%5a", 56)},
	} {
		key := object.Key{Type: "list", ID: c.id}
		name := BlobName(key)
		if rest, ok := strings.CutPrefix(name, "o/list/"); !ok || rest[1:] != "/"+c.escaped {
			t.Errorf("%v has the name %q, want o/list/x/%s", key, name, c.escaped)
		}
		if back, err := ParseBlobName(name); err != nil || back != key {
			t.Errorf("%q is parsed as %v, %v; want %v", name, back, err, key)
		}
	}
}

func TestShardIsThatOfFNV(t *testing.T) {
	for _, id := range []string{"a", "alice", "ü/b", strings.Repeat("long ", 50)} {
		h := fnv.New32a()
		h.Write([]byte(id))
		if got, want := shardOf(id), int(h.Sum32()&15); got != want {
			t.Errorf("shard of %q is %x, want %x", id, got, want)
		}
	}
}

func TestLongestBlobName(t *testing.T) {
	name := BlobName(object.Key{Type: strings.Repeat("t", object.MaxTypeBytes), ID: strings.Repeat("Z", object.MaxIDBytes)})
	if err := checkName(name); err != nil || len(name) != 843 {
		t.Errorf("it has %d bytes, want 843: %v", len(name), err)
	}
}

func TestOtherNamesAreNoRecords(t *testing.T) {
	good := BlobName(object.Key{Type: "list", ID: "alice"})
	a200 := strings.Repeat("a", 200)
	shard := func(id string) string { return BlobName(object.Key{Type: "list", ID: id})[:len("o/list/x/")] }
	for _, name := range []string{
		"", "o", "o/", "o/list", "o/list/", "o/list/3", "o/list/3/", "p" + good[1:], "/" + good, good + "/", good + "+", good + "/b",
		strings.Replace(good, "list", "List", 1), strings.Replace(good, "list", "3", 1), strings.Replace(good, "list/", "list//", 1),
		strings.ToUpper(good), strings.Replace(good, "alice", "%61lice", 1), strings.Replace(good, "alice", "ali+/ce", 1),
		shard("Z") + "Z", shard("Z") + "%5A", shard("/") + "%2F", shard("a%") + "a%", shard("a%4") + "a%4", shard("a%zz") + "a%zz",
		shard(".a") + ".a", shard("a"+a200) + a200 + "a", shard(a200) + a200 + "+/", shard("\xff") + "%ff", "o/list/0/alice", "o/list/g/alice",
		shard(strings.Repeat("a", 257)) + a200 + "+/" + strings.Repeat("a", 57),
	} {
		if key, err := ParseBlobName(name); err == nil && name != good {
			t.Errorf("%q is parsed as %v", name, key)
		}
	}
}

func FuzzBlobName(f *testing.F) {
	long := strings.Repeat("a", 199)
	for _, pair := range [][2]string{{"a", "A"}, {".", "%2e"}, {"a/b", "a%2fb"}, {long + "b", long + "b.c"}, {long + "Z", long + "%"}, {long + "+", long}} {
		f.Add("list", pair[0], "list", pair[1])
	}
	f.Add("a", "b", "a-b", "b")
	f.Fuzz(func(t *testing.T, typ1, id1, typ2, id2 string) {
		a, b := object.Key{Type: typ1, ID: id1}, object.Key{Type: typ2, ID: id2}
		if a.Validate() != nil || b.Validate() != nil {
			t.Skip()
		}
		nameA, nameB := BlobName(a), BlobName(b)
		if err := checkName(nameA); err != nil {
			t.Errorf("%v has a name that no store takes: %v", a, err)
		}
		if back, err := ParseBlobName(nameA); err != nil || back != a {
			t.Errorf("%v has the name %q, and that is parsed as %v, %v", a, nameA, back, err)
		}
		if a != b && strings.EqualFold(nameA, nameB) {
			t.Errorf("%v and %v have the same name %q", a, b, nameA)
		}
		if strings.HasPrefix(nameB, nameA+"/") {
			t.Errorf("the name %q of %v is the folder of %q, the name of %v", nameA, a, nameB, b)
		}
		cut := len(id1) / 2
		for !utf8.RuneStart(id1[cut]) {
			cut--
		}
		if part := string(appendEscaped(nil, id1[:cut])); !strings.HasPrefix(string(appendEscaped(nil, id1)), part) {
			t.Errorf("%q escaped does not begin with %q escaped", id1, id1[:cut])
		}
	})
}

func FuzzParseBlobName(f *testing.F) {
	for _, id := range []string{"alice", "Z", ".a", "a/b", strings.Repeat("ü", 128)} {
		f.Add(BlobName(object.Key{Type: "list", ID: id}))
	}
	f.Add("o/list/0/%2")
	f.Add("o/list/0/" + strings.Repeat("a", 200) + "+/b")
	f.Fuzz(func(t *testing.T, name string) {
		key, err := ParseBlobName(name)
		if err != nil {
			return
		}
		if err := key.Validate(); err != nil {
			t.Errorf("%q is parsed as %v: %v", name, key, err)
		}
		if canonical := BlobName(key); canonical != name {
			t.Errorf("%q is parsed as %v, whose name is %q", name, key, canonical)
		}
	})
}
