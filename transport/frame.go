package transport

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A frame on the wire: the length of what follows (4 bytes, big-endian), its kind (1 byte), the call's id (8 bytes,
// big-endian), a payload.
const (
	headerBytes = 13
	lengthBytes = 4
)

// The kinds of frames. The ids of requests are chosen by the node that dialled; the other end answers each
// request with exactly one frame of the same id.
const (
	kindRequest byte = iota + 1 // payload: appendRequest
	kindPing                    // answered by kindPong; either side sends it with id 0 only to hear something
	kindPong                    // payload: the incarnation that is here
	kindReply                   // payload: what the handler returned
	kindFailure                 // payload: appendFailure
	kindRefused                 // the request did not run; payload: the incarnation that is here
	kindCancel                  // the caller no longer waits for the request of this id
	kindLeave                   // of the side that listens: send no more requests on this connection; of the other one: there will be no more
	kinds
)

var errMalformed = errors.New("malformed frame")

type frame struct {
	kind    byte
	id      uint64
	payload []byte
}

// openFrame appends a frame's header. closeFrame sets its length when the payload has been appended.
func openFrame(b []byte, kind byte, id uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, 0, 0, 0, 0, kind), id)
}

// closeFrame completes the frame that starts at start and ends with b.
func closeFrame(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-lengthBytes))
	return b
}

// appendFrame appends a whole frame.
func appendFrame(b []byte, kind byte, id uint64, payload []byte) []byte {
	start := len(b)
	return closeFrame(append(openFrame(b, kind, id), payload...), start)
}

// A frameReader reads frames of at most limit bytes, headers included.
type frameReader struct {
	r      *bufio.Reader
	limit  int
	header [headerBytes]byte
}

// next reads a frame. Its payload is the caller's to keep. io.EOF means that the stream ended between two frames.
func (f *frameReader) next() (frame, error) {
	if _, err := io.ReadFull(f.r, f.header[:]); err != nil {
		return frame{}, err
	}
	n := int(binary.BigEndian.Uint32(f.header[:])) + lengthBytes
	kind := f.header[lengthBytes]
	switch {
	case n < headerBytes:
		return frame{}, fmt.Errorf("%w: its %d bytes are fewer than a header's", errMalformed, n)
	case n > f.limit:
		return frame{}, fmt.Errorf("%w: it announces %d bytes, the limit is %d", errMalformed, n, f.limit)
	case kind == 0 || kind >= kinds:
		return frame{}, fmt.Errorf("%w: unknown kind %d", errMalformed, kind)
	}
	payload, err := f.payload(n - headerBytes)
	return frame{kind, binary.BigEndian.Uint64(f.header[lengthBytes+1:]), payload}, err
}

// payload reads n bytes. It takes memory as they arrive, not as they are announced.
func (f *frameReader) payload(n int) ([]byte, error) {
	const step = 64 << 10
	b := make([]byte, min(n, step))
	for read := 0; ; {
		m, err := io.ReadFull(f.r, b[read:])
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if read += m; err != nil || read == n {
			return b, err
		}
		larger := make([]byte, min(n, 4*read))
		copy(larger, b)
		b = larger
	}
}
