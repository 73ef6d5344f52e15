package persist

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/highlander-go/highlander/internal/msgpack"
	"github.com/highlander-go/highlander/object"
)

// The body of a record's blob is one msgpack value, so that any msgpack tool can show it:
//
//	["highlander/1", crc, [type, id, generation, layout, epoch, version, write id, incarnation, deleted, requests, pad, state]]
//
// crc is the CRC-32C of all bytes after it, always as uint32 (0xce and four bytes). The ids are bin of 16
// bytes, the other numbers and the strings have their shortest form. requests and state are whatever values the object has,
// embedded as they are; requests is nil when there are none, and so is the state of a tombstone, whose deleted is true.
//
// pad is nil (one byte) or an empty bin (two): by it the size of a tombstone is odd, and that of any other record even. So a listing of blobs with
// their sizes tells which objects are deleted, and nothing has to be read for that, see [Records.List].
const (
	formatName    = "highlander/"
	format        = 1
	recordHead    = "\x93\xac" + formatName + "1\xce"
	recordElement = 0x9c // the head of an array of 12
	sumEnd        = len(recordHead) + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendRecord appends the body of the blob for key's record r, written by a generation of the cluster, to b. It allocates only to make b longer.
// It fails, leaving b as it was, when r.State is not exactly one msgpack value, or none for a tombstone, or r.Requests not one or none: that record
// could not be read again.
func AppendRecord(b []byte, key object.Key, generation uint64, r *object.Record) ([]byte, error) {
	state, requests := orNil(r.State), orNil(r.Requests)
	if n, err := msgpack.Size(state); err != nil || n != len(state) || r.Deleted != (len(r.State) == 0) {
		return b, fmt.Errorf("%v: its state of %d bytes is not one msgpack value, or it is that of a tombstone; nothing was written", key, len(r.State))
	}
	if n, err := msgpack.Size(requests); err != nil || n != len(requests) {
		return b, fmt.Errorf("%v: its requests of %d bytes are not one msgpack value; nothing was written", key, len(r.Requests))
	}
	start := len(b)
	b = append(b, recordHead...)
	b = append(b, 0, 0, 0, 0)
	b = append(b, recordElement)
	b = appendString(b, key.Type)
	b = appendString(b, key.ID)
	b = appendUint(b, generation)
	b = appendUint(b, uint64(r.Layout))
	b = appendUint(b, r.Epoch)
	b = appendUint(b, r.Version)
	b = appendBin16(b, r.WriteID)
	b = appendBin16(b, r.Incarnation)
	b = appendBool(b, r.Deleted)
	b = append(b, requests...)
	if size := len(b) - start + 1 + len(state); isTombstone(int64(size)) == r.Deleted {
		b = append(b, nilValue...)
	} else {
		b = append(b, longPad...)
	}
	b = append(b, state...)
	body := b[start:]
	binary.BigEndian.PutUint32(body[len(recordHead):], crc32.Checksum(body[sumEnd:], castagnoli))
	return b, nil
}

var (
	nilValue = []byte{0xc0}
	longPad  = []byte{0xc4, 0}
)

func orNil(value []byte) []byte {
	if len(value) == 0 {
		return nilValue
	}
	return value
}

// isTombstone tells what a record of so many bytes is.
func isTombstone(size int64) bool { return size%2 == 1 }

// DecodeRecord takes key's record, and the generation that wrote it, out of a blob's body. It accepts only what [AppendRecord] makes for that
// key; every error matches [object.ErrUnreadable]: never does one mean that the object is new. The record shares no memory with body.
func DecodeRecord(key object.Key, body []byte) (r *object.Record, generation uint64, err error) {
	r, generation, err = decodeRecord(key, body)
	if err != nil {
		return nil, 0, fmt.Errorf("%v: %w: %w", key, object.ErrUnreadable, err)
	}
	return r, generation, nil
}

func decodeRecord(key object.Key, body []byte) (r *object.Record, generation uint64, err error) {
	if err := checkHead(body); err != nil {
		return nil, 0, err
	}
	if err := checkSum(body); err != nil {
		return nil, 0, err
	}
	in := reader{b: body[sumEnd:]}
	if in.byte() != recordElement {
		in.fail(errMalformed)
	}
	typ, id := in.string(), in.string()
	generation, layout := in.uint(), in.uint()
	r = &object.Record{Epoch: in.uint(), Version: in.uint(), WriteID: in.bin16(), Incarnation: in.bin16(), Deleted: in.bool()}
	if r.Layout = uint32(layout); uint64(r.Layout) != layout {
		in.fail(errMalformed)
	}
	if in.err != nil {
		return nil, 0, in.err
	}
	if of := (object.Key{Type: string(typ), ID: string(id)}); of != key {
		return nil, 0, fmt.Errorf("it is the record of %v; was the blob copied or renamed?", of)
	}
	r.Requests = bytes.Clone(in.value())
	if pad := in.value(); in.err == nil && !bytes.Equal(pad, nilValue) && !bytes.Equal(pad, longPad) {
		in.fail(errMalformed)
	}
	r.State = bytes.Clone(in.value())
	switch {
	case in.err != nil:
		return nil, 0, in.err
	case len(in.b) > 0:
		return nil, 0, trailing(len(in.b))
	case r.Deleted && !bytes.Equal(r.State, nilValue), r.Deleted != isTombstone(int64(len(body))):
		return nil, 0, errMalformed
	case r.Deleted:
		r.State = nil
	}
	if bytes.Equal(r.Requests, nilValue) {
		r.Requests = nil
	}
	return r, generation, nil
}

// checkHead accepts bodies of this format that are long enough to have a checksum.
func checkHead(body []byte) error {
	n := min(len(body), len(recordHead))
	switch {
	case len(body) == 0:
		return fmt.Errorf("not a highlander record: the blob is empty")
	case string(body[:n]) == recordHead[:n]:
		if len(body) < sumEnd {
			return errTruncated
		}
		return nil
	}
	if of, ok := formatOf(body); ok && of > format {
		return fmt.Errorf("written by a newer version of highlander in format %d, this program knows %d; upgrade it", of, format)
	}
	return fmt.Errorf("not a highlander record: the blob does not begin like one")
}

// formatOf is the number in the head of a record of any format: a short array whose first element is the
// string "highlander/N". That much must stay as it is in all formats to come, and [isTombstone].
func formatOf(body []byte) (uint64, bool) {
	if body[0]>>4 != 0x9 {
		return 0, false
	}
	in := reader{b: body[1:]}
	number, ok := strings.CutPrefix(string(in.string()), formatName)
	n, err := strconv.ParseUint(number, 10, 32)
	return n, ok && err == nil
}

// checkSum compares the checksum. Where it does not hold it says which mishap that was, if it can tell.
func checkSum(body []byte) error {
	rest := body[sumEnd:]
	want, is := binary.BigEndian.Uint32(body[len(recordHead):]), crc32.Checksum(rest, castagnoli)
	if is == want {
		return nil
	}
	switch n, err := msgpack.Size(rest); {
	case errors.Is(err, errTruncated):
		return errTruncated
	case err == nil && n != len(rest):
		return trailing(len(rest) - n)
	}
	return fmt.Errorf("bad checksum: its bytes add up to %08x and not to %08x; restore the blob from a backup", is, want)
}

func trailing(n int) error { return fmt.Errorf("trailing bytes: %d after its end", n) }
