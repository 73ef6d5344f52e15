package persist

import (
	"fmt"
	"strings"

	"github.com/highlander-go/highlander/object"
)

// The layout of records' names:
//
//	o/<type>/<shard>/<escaped id>
//
// The shard is one hexadecimal digit, the low four bits of the id's FNV-1a 32 hash: S3 serves so and so
// many requests a second for each prefix, and a folder with fewer files is a quicker one.
//
// In the id lower-case letters, digits, '-', '_', '@' and '.' stand for themselves and every other byte is
// %xx in lower-case hexadecimal. So are upper-case letters, because some file systems fold case: there
// "A" and "a" would be one file. A dot at the start of a segment is %2e.
//
// A segment ends after 200 bytes of the escaped id (file systems allow 255), and all but the last get a '+',
// which an escaped id never has: so no record's name is the folder of another's.

const (
	recordsFolder = "o/"
	shards        = 16
	cutBytes      = 200 // of the escaped id in one segment
)

const hexDigits = "0123456789abcdef"

// BlobName is the name of the blob that holds key's record. No two keys have the same name, not even where
// case is folded, and no name is another's folder. The key must be valid, see [object.Key.Validate].
func BlobName(key object.Key) string {
	var space [128]byte // on the stack, enough for most
	b := appendShard(space[:0], key.Type, shardOf(key.ID))
	return string(appendEscaped(b, key.ID))
}

// ParseBlobName is the inverse of [BlobName]: it gives the key whose record the blob holds, and an error
// for every name that BlobName does not make.
func ParseBlobName(name string) (object.Key, error) {
	rest, ok := strings.CutPrefix(name, recordsFolder)
	typ, rest, ok2 := strings.Cut(rest, "/")
	_, escaped, ok3 := strings.Cut(rest, "/")
	if !ok || !ok2 || !ok3 {
		return object.Key{}, fmt.Errorf("blob %q is no record: its name is not o/type/shard/id", shorten(name))
	}
	key := object.Key{Type: typ, ID: unescape(escaped)}
	if err := key.Validate(); err != nil {
		return object.Key{}, fmt.Errorf("blob %q is no record: %w", shorten(name), err)
	}
	if canonical := BlobName(key); canonical != name {
		return object.Key{}, fmt.Errorf("blob %q is no record: that of %v would be %q", shorten(name), key, canonical)
	}
	return key, nil
}

// appendShard appends the folder of a type's shard, with the slash after it.
func appendShard(b []byte, typ string, shard int) []byte {
	b = append(b, recordsFolder...)
	b = append(b, typ...)
	return append(b, '/', hexDigits[shard], '/')
}

func shardOf(id string) int {
	h := uint32(2166136261)
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	return int(h % shards)
}

// appendEscaped appends the escaped id, cut into segments. What it appends for a part of an id from the
// start is a prefix of what it appends for the whole.
func appendEscaped(b []byte, id string) []byte {
	if len(id) <= cutBytes && allPlain(id) { // most are
		return append(b, id...)
	}
	n := 0 // bytes of the escaped id so far
	add := func(c byte) {
		if n > 0 && n%cutBytes == 0 {
			b = append(b, '+', '/')
		}
		b = append(b, c)
		n++
	}
	for i := range len(id) {
		c := id[i]
		if plain[c] || c == '.' && n%cutBytes != 0 {
			add(c)
			continue
		}
		add('%')
		add(hexDigits[c>>4])
		add(hexDigits[c&15])
	}
	return b
}

// plain tells which bytes stand for themselves everywhere in an escaped id.
var plain = func() (is [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyz0123456789-_@") {
		is[c] = true
	}
	return is
}()

func allPlain(id string) bool {
	for i := range len(id) {
		if !plain[id[i]] {
			return false
		}
	}
	return true
}

// unescape undoes appendEscaped. Of anything else it makes an id whose name is another: the caller compares.
func unescape(s string) string {
	s = strings.ReplaceAll(s, "+/", "")
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+2 >= len(s) {
			b = append(b, s[i])
			continue
		}
		hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
		if hi < 0 || lo < 0 {
			b = append(b, s[i])
			continue
		}
		b = append(b, byte(hi<<4|lo))
		i += 2
	}
	return string(b)
}
