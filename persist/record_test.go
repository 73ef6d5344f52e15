package persist

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/highlander-go/highlander/object"
)

const testGeneration = 300

var testKey = object.Key{Type: "list", ID: "alice/groceries"}

func testRecord(tb testing.TB, state any) *object.Record {
	tb.Helper()
	b, err := msgpack.Marshal(state)
	if err != nil {
		tb.Fatal(err)
	}
	return &object.Record{
		Layout: 3, Epoch: 12, Version: 70_000,
		WriteID:     [16]byte{1, 2, 3, 15: 16},
		Incarnation: [16]byte{0xff, 15: 0xee},
		State:       b,
		Requests:    []byte{0x91, 0x93, 0xc0, 7, 0x90},
	}
}

func encode(tb testing.TB, key object.Key, r *object.Record) []byte {
	tb.Helper()
	body, err := AppendRecord(nil, key, testGeneration, r)
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

// seal makes a body of this format out of the bytes after the checksum.
func seal(rest []byte) []byte {
	body := binary.BigEndian.AppendUint32([]byte(recordHead), crc32.Checksum(rest, castagnoli))
	return append(body, rest...)
}

func sameRecord(a, b *object.Record) bool {
	return a.Layout == b.Layout && a.Deleted == b.Deleted && a.Epoch == b.Epoch && a.Version == b.Version &&
		a.WriteID == b.WriteID && a.Incarnation == b.Incarnation && bytes.Equal(a.State, b.State) && bytes.Equal(a.Requests, b.Requests)
}

// testStates have every kind of msgpack value in them.
var testStates = []any{
	nil, true, 0, -1, 127, 128, math.MaxInt64, math.MinInt64, uint64(math.MaxUint64), 1.5, float32(1.5), "", "text",
	strings.Repeat("x", 31), strings.Repeat("x", 300), strings.Repeat("x", 70_000), []byte{1}, make([]byte, 300), make([]byte, 70_000),
	[]int{}, []int{1, 2, 3}, make([]int, 20), make([]int, 70_000), map[string]any{"a": []any{1, "b", nil}}, []any{[]any{[]any{[]any{}}}},
	msgpack.RawMessage{0xc7, 3, 5, 1, 2, 3}, msgpack.RawMessage{0xd4, 5, 1}, msgpack.RawMessage(append([]byte{0xd8, 5}, make([]byte, 16)...)),
	msgpack.RawMessage(append([]byte{0xdf, 0, 0, 0, 1}, 0xa1, 'k', 0xde, 0, 1, 1, 0xdc, 0, 1, 0xc2)),
}

func TestRecordComesBack(t *testing.T) {
	for _, state := range testStates {
		for _, n := range []uint64{0, 1, 127, 128, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxUint64} {
			r := testRecord(t, state)
			r.Layout, r.Epoch, r.Version = uint32(n), n, n/2+1
			got, _, err := DecodeRecord(testKey, encode(t, testKey, r))
			if err != nil || !sameRecord(got, r) {
				t.Fatalf("state %.40v, numbers %d: got %v, %v", state, n, got, err)
			}
		}
	}
	for _, n := range []int{1, 31, 32, 255, 256} {
		key := object.Key{Type: strings.Repeat("t", min(n, 64)), ID: strings.Repeat("i", n)}
		if _, _, err := DecodeRecord(key, encode(t, key, testRecord(t, nil))); err != nil {
			t.Errorf("id of %d bytes: %v", n, err)
		}
	}
}

// Any msgpack tool can read a record: this one knows nothing of ours.
func TestRecordIsPlainMsgpack(t *testing.T) {
	body := encode(t, testKey, testRecord(t, map[string]any{"title": "groceries", "todos": []string{"milk"}}))
	var top []msgpack.RawMessage
	if err := msgpack.Unmarshal(body, &top); err != nil || len(top) != 3 {
		t.Fatalf("%d elements, %v", len(top), err)
	}
	var format string
	var sum uint32
	var record []any
	err := errors.Join(msgpack.Unmarshal(top[0], &format), msgpack.Unmarshal(top[1], &sum), msgpack.Unmarshal(top[2], &record))
	if err != nil || format != "highlander/1" || len(top[1]) != 5 || len(record) != 12 {
		t.Fatalf("format %q, checksum in %d bytes, record %v, %v", format, len(top[1]), record, err)
	}
	if want := crc32.Checksum(top[2], crc32.MakeTable(crc32.Castagnoli)); sum != want || !bytes.HasSuffix(body, top[2]) {
		t.Errorf("checksum %x, want %x", sum, want)
	}
	if record[0] != testKey.Type || record[1] != testKey.ID {
		t.Errorf("record of %v/%v", record[0], record[1])
	}
	state, ok := record[11].(map[string]any)
	if !ok || state["title"] != "groceries" {
		t.Errorf("state %v", record[11])
	}
}

func TestRecordIsTheSameForEver(t *testing.T) {
	r := &object.Record{Layout: 1, Epoch: 2, Version: 300, State: []byte{0x91, 0xa1, 'x'}}
	want := "\x93\xachighlander/1\xce\x9b\x1e\x3e\xee\x9c\xa4list\xa1a\xcd\x01\x2c\x01\x02\xcd\x01\x2c" +
		"\xc4\x10" + strings.Repeat("\x00", 16) + "\xc4\x10" + strings.Repeat("\x00", 16) + "\xc2\xc0\xc4\x00\x91\xa1x"
	if got := encode(t, object.Key{Type: "list", ID: "a"}, r); string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestUnreadableRecords(t *testing.T) {
	good := encode(t, testKey, testRecord(t, []string{"milk", "bread"}))
	rest := good[sumEnd:]
	flip := func(at int) []byte { b := bytes.Clone(good); b[at] ^= 0x40; return b }
	otherHead := func(head string) []byte { return append([]byte(head), good[len(recordHead):]...) }
	replace := func(old, by string) []byte { return seal(bytes.Replace(rest, []byte(old), []byte(by), 1)) }
	otherState := func(state ...byte) []byte {
		return seal(append(bytes.TrimSuffix(bytes.Clone(rest), good[len(good)-12:]), state...))
	}
	pad := nilValue
	if bytes.Contains(rest, append([]byte{0x90}, longPad...)) {
		pad = longPad
	}
	otherPad := replace("\x90"+string(longPad), "\x90\xc0")
	if !bytes.Equal(pad, longPad) {
		otherPad = replace("\x90\xc0", "\x90"+string(longPad))
	}
	for _, c := range []struct {
		name, says string
		body       []byte
	}{
		{"nothing", "not a highlander record: the blob is empty", nil},
		{"text", "not a highlander record", []byte("{}\n")},
		{"other msgpack", "not a highlander record", []byte{0x93, 1, 2, 3}},
		{"other string", "not a highlander record", otherHead("\x93\xachighlander:1\xce")},
		{"format zero", "not a highlander record", otherHead("\x93\xachighlander/0\xce")},
		{"no number", "not a highlander record", otherHead("\x93\xachighlander/x\xce")},
		{"checksum of another form", "not a highlander record", otherHead("\x93\xachighlander/1\xcd")},
		{"next format", "written by a newer version of highlander in format 2", otherHead("\x93\xachighlander/2\xce")},
		{"far format", "written by a newer version of highlander in format 10", otherHead("\x94\xadhighlander/10\xce")},
		{"other bit in the state", "bad checksum", flip(len(good) - 2)},
		{"other bit in the checksum", "bad checksum", flip(len(recordHead))},
		{"one byte more", "trailing bytes: 1 after its end", append(bytes.Clone(good), 0)},
		{"two records", "trailing bytes", append(bytes.Clone(good), good...)},
		{"one byte more and the checksum right", "trailing bytes: 1 after its end", seal(append(bytes.Clone(rest), 0))},
		{"state cut and the checksum right", "truncated", seal(rest[:len(rest)-1])},
		{"no state", "truncated", otherState()},
		{"state that is no value", "malformed", otherState(0xc1)},
		{"state that says it is huge", "truncated", otherState(0xdd, 0xff, 0xff, 0xff, 0xff)},
		{"eleven elements", "malformed", replace("\x9c", "\x9b")},
		{"long form of a short string", "malformed", replace("\xa4list", "\xd9\x04list")},
		{"long form of a small number", "malformed", replace("\x03\x0c", "\xcc\x03\x0c")},
		{"negative number", "malformed", replace("\x03\x0c", "\xff\x0c")},
		{"layout too large", "malformed", replace("\x03\x0c", "\xcf\x00\x00\x00\x01\x00\x00\x00\x00\x0c")},
		{"deleted with a state", "malformed", replace("\xc2\x91\x93", "\xc3\x91\x93")},
		{"deleted is a number", "malformed", replace("\xc2\x91\x93", "\x01\x91\x93")},
		{"pad of another length", "malformed", otherPad},
		{"pad of another kind", "malformed", replace("\x90"+string(pad), "\x90\x00")},
		{"requests that are no value", "malformed", replace("\x91\x93\xc0", "\x91\xc1\xc0")},
		{"write id of another length", "malformed", replace("\xc4\x10", "\xc4\x0f")},
		{"another id", `it is the record of list/"alice/Groceries"`, replace("/g", "/G")},
		{"another type", "it is the record of lost/", replace("list", "lost")},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _, err := DecodeRecord(testKey, c.body)
			if r != nil || !errors.Is(err, object.ErrUnreadable) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), testKey.String()) {
				t.Errorf("got %v, %v; want an error about %v that says %q", r, err, testKey, c.says)
			}
		})
	}
}

func TestEveryCutIsTruncated(t *testing.T) {
	good := encode(t, testKey, testRecord(t, []string{"milk", "bread"}))
	for n := 1; n < len(good); n++ {
		if _, _, err := DecodeRecord(testKey, good[:n]); !errors.Is(err, errTruncated) || !errors.Is(err, object.ErrUnreadable) {
			t.Errorf("the first %d of %d bytes: %v", n, len(good), err)
		}
	}
}

func TestEveryWrongBitIsNoticed(t *testing.T) {
	good := encode(t, testKey, testRecord(t, []string{"milk", "bread"}))
	for bit := range 8 * len(good) {
		bad := bytes.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, _, err := DecodeRecord(testKey, bad); !errors.Is(err, object.ErrUnreadable) {
			t.Errorf("bit %d: %v", bit, err)
		}
	}
}

// A tombstone has no state, whatever the object's type makes of nil.
func TestTombstone(t *testing.T) {
	r := testRecord(t, nil)
	r.State, r.Deleted = nil, true
	got, generation, err := DecodeRecord(testKey, encode(t, testKey, r))
	if err != nil || generation != testGeneration || !sameRecord(got, r) {
		t.Errorf("%+v comes back as %+v of generation %d, %v", r, got, generation, err)
	}
	r.State = []byte{0xc0}
	if _, err := AppendRecord(nil, testKey, testGeneration, r); err == nil {
		t.Error("a tombstone with a state is written")
	}
}

// Listings tell tombstones by their size.
func FuzzTombstonesHaveASizeOfTheirOwn(f *testing.F) {
	f.Add("list", "a", uint64(1), uint32(0), uint64(1), uint64(2), []byte{0xc0})
	f.Add("list", strings.Repeat("ü", 128), uint64(math.MaxUint64), uint32(math.MaxUint32), uint64(math.MaxUint64), uint64(math.MaxUint64), []byte{0xa1, 'x'})
	f.Add(strings.Repeat("t", 64), strings.Repeat("i", 31), uint64(200), uint32(200), uint64(70_000), uint64(1)<<32, []byte{0x80})
	f.Fuzz(func(t *testing.T, typ, id string, generation uint64, layout uint32, epoch, version uint64, state []byte) {
		key := object.Key{Type: typ, ID: id}
		r := &object.Record{Layout: layout, Epoch: epoch, Version: version, State: state}
		body, err := AppendRecord(nil, key, generation, r)
		if key.Validate() != nil || err != nil {
			t.Skip()
		}
		if isTombstone(int64(len(body))) {
			t.Errorf("%v: a record with a state has %d bytes", key, len(body))
		}
		r.State, r.Deleted = nil, true
		if body, err = AppendRecord(nil, key, generation, r); err != nil || !isTombstone(int64(len(body))) {
			t.Errorf("%v: a tombstone has %d bytes; %v", key, len(body), err)
		}
	})
}

// What could not be read again is not written.
func TestStateMustBeOneValue(t *testing.T) {
	for _, state := range [][]byte{nil, {}, {0xc1}, {1, 2}, {0x92, 1}, {0xa5, 'x'}, {0xdf, 0xff, 0xff, 0xff, 0xff, 1}} {
		before := []byte("before")
		got, err := AppendRecord(before, testKey, testGeneration, &object.Record{State: state})
		if err == nil || string(got) != "before" || !strings.Contains(err.Error(), testKey.String()) {
			t.Errorf("state %x: got %q, %v", state, got, err)
		}
	}
}

func TestDecodedStateIsItsOwn(t *testing.T) {
	r := testRecord(t, "state")
	body := encode(t, testKey, r)
	got, _, err := DecodeRecord(testKey, body)
	if err != nil {
		t.Fatal(err)
	}
	clear(body)
	if !bytes.Equal(got.State, r.State) {
		t.Errorf("the state changed with the body to %x", got.State)
	}
}

func TestEncodingDoesNotAllocate(t *testing.T) {
	r := testRecord(t, []string{"milk", "bread"})
	b := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := AppendRecord(b, testKey, testGeneration, r); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, state := range testStates {
		if body := encode(f, testKey, testRecord(f, state)); len(body) < 1000 {
			f.Add(body)
		}
	}
	f.Add([]byte("\x94\xadhighlander/10\xce"))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, body := range [][]byte{body, seal(body), seal(body[min(len(body), sumEnd):])} { // past the checksum too
			r, generation, err := DecodeRecord(testKey, body)
			if err != nil {
				if !errors.Is(err, object.ErrUnreadable) {
					t.Errorf("%x: %v", body, err)
				}
				continue
			}
			if again, err := AppendRecord(nil, testKey, generation, r); err != nil || !bytes.Equal(again, body) {
				t.Errorf("%x was accepted and is written as %x", body, again)
			}
		}
	})
}
