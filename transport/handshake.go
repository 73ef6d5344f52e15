package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/google/uuid"
)

// A connection begins with a hello from each side, that of the side which dialled first: magic (4 bytes), protocol version
// (2 bytes), length of the rest (2 bytes), and the rest: who says it (16 bytes), the largest frame that it takes (4), how many
// requests it takes at a time (4), its cluster. Numbers are big-endian. Magic, version and length stay the same in all
// versions, so that each side can name both versions when they differ.
const (
	magic      = "hldr"
	version    = 1
	helloStart = len(magic) + 2 + 2
	helloFixed = 16 + 4 + 4
)

// MaxClusterBytes limits a cluster's name, in bytes.
const MaxClusterBytes = 255

var errHandshake = errors.New("handshake")

// A hello is what one side says of itself.
type hello struct {
	version  uint16
	self     uuid.UUID
	frame    int // bytes
	inFlight int // of the side that listens; 0: it takes no requests
	cluster  string
}

func (h hello) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(append(b, magic...), h.version)
	b = binary.BigEndian.AppendUint16(b, uint16(helloFixed+len(h.cluster)))
	b = append(b, h.self[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(h.frame))
	b = binary.BigEndian.AppendUint32(b, uint32(h.inFlight))
	return append(b, h.cluster...)
}

// readHello reads a hello. Of one in another version only the version is set.
func readHello(r io.Reader) (h hello, err error) {
	var start [helloStart]byte
	if n, err := io.ReadFull(r, start[:]); err != nil && (n < len(magic) || string(start[:len(magic)]) == magic) {
		return h, fmt.Errorf("the peer's hello did not come: %w", err)
	}
	if got := start[:len(magic)]; string(got) != magic {
		return h, fmt.Errorf("the peer began with %q, not %q: is it a highlander node, without TLS?", got, magic)
	}
	h.version = binary.BigEndian.Uint16(start[len(magic):])
	n := int(binary.BigEndian.Uint16(start[len(magic)+2:]))
	if h.version == version && (n < helloFixed || n > helloFixed+MaxClusterBytes) {
		return h, fmt.Errorf("the peer's hello announces %d bytes", n)
	}
	rest := make([]byte, n)
	if _, err := io.ReadFull(r, rest); err != nil {
		return h, fmt.Errorf("the peer's hello is incomplete: %w", err)
	}
	if h.version == version {
		copy(h.self[:], rest)
		h.frame = int(binary.BigEndian.Uint32(rest[16:]))
		h.inFlight = int(binary.BigEndian.Uint32(rest[20:]))
		h.cluster = string(rest[helloFixed:])
	}
	return h, nil
}

// check tells what keeps the two sides from working together.
func (h hello) check(peer hello) error {
	switch {
	case peer.version != h.version:
		return fmt.Errorf("the peer speaks protocol version %d, this node %d: run versions of the program that share one", peer.version, h.version)
	case peer.cluster != h.cluster:
		return fmt.Errorf("the peer is of cluster %q, this node of %q: check addresses and configuration", peer.cluster, h.cluster)
	case peer.frame < MinFrame:
		return fmt.Errorf("the peer takes frames of %d bytes, at least %d are needed", peer.frame, MinFrame)
	}
	return nil
}

// shakeHands has the two sides say hello by the deadline, unless ctx ends before. A peer that dialled, and with which this node does not
// get on, is told who is here all the same. TLS will have its place here.
func shakeHands(ctx context.Context, nc net.Conn, deadline time.Time, own hello, dialled bool) (peer hello, err error) {
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	err = nc.SetDeadline(deadline)
	if err == nil && dialled {
		_, err = nc.Write(own.append(nil))
	}
	if err == nil {
		peer, err = readHello(nc)
	}
	if err == nil && !dialled {
		_, err = nc.Write(own.append(nil))
	}
	if err == nil {
		err = own.check(peer)
	}
	nc.SetDeadline(time.Time{})
	if err != nil {
		err = fmt.Errorf("%w: %w", errHandshake, err)
	}
	return peer, err
}
