package zkserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// EndSession ends a session from outside, the way operators do it: it opens a second connection with the session's id and password, and
// closes the session there. It returns when the server has done so, or knows that it is about to: the session's nodes go by then or soon after.
//
// The server closes the first connection, and a client that comes back at once makes it close the second one. So this tries again until ctx ends.
// A client that comes back at the very moment may get a connection on which its requests are not answered, and learns of the end when it gives that up;
// an idle one, at a follower, was seen not to learn of it for several timeouts.
func EndSession(ctx context.Context, addr string, id int64) error {
	for again := false; ; again = true {
		switch err := endSession(ctx, addr, id); {
		case errors.Is(err, ErrNoSession) && again:
			return nil // the last attempt was heard, and its answer lost
		case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET):
			return err
		}
	}
}

func endSession(ctx context.Context, addr string, id int64) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()

	const xid, closeSession = 1, -11
	var attach, end []byte
	attach = binary.BigEndian.AppendUint32(attach, 0)      // protocol version
	attach = binary.BigEndian.AppendUint64(attach, 0)      // last zxid seen
	attach = binary.BigEndian.AppendUint32(attach, 10_000) // session timeout in ms
	attach = binary.BigEndian.AppendUint64(attach, uint64(id))
	attach = binary.BigEndian.AppendUint32(attach, 16)
	attach = append(attach, password(id)...)
	attach = append(attach, 0) // not content with a read-only server
	for _, field := range []int32{xid, closeSession} {
		end = binary.BigEndian.AppendUint32(end, uint32(field))
	}
	if _, err := conn.Write(append(frame(attach), frame(end)...)); err != nil { // at once: the client may be back at any moment
		return err
	}
	answer, err := readFrame(conn)
	if err != nil {
		return fmt.Errorf("attach to session %#x: %w", id, err)
	}
	if len(answer) < 16 || int64(binary.BigEndian.Uint64(answer[8:])) != id {
		return fmt.Errorf("attach to session %#x: %w", id, ErrNoSession)
	}
	if _, err = readFrame(conn); err != nil {
		return fmt.Errorf("end session %#x: %w", id, err)
	}
	return nil
}

// ErrNoSession is what [EndSession] returns for a session that has ended already.
var ErrNoSession = errors.New("the server knows no such session")

func frame(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func readFrame(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > 1<<10 {
		return nil, fmt.Errorf("a frame of %d bytes: is it a ZooKeeper server?", n)
	}
	body := make([]byte, n)
	_, err := io.ReadFull(r, body)
	return body, err
}

// password is the password of a session, which ZooKeeper makes from the id (ZooKeeperServer.generatePasswd): the first 16 bytes of
// java.util.Random, seeded with the id and a constant.
func password(id int64) []byte {
	const (
		secret     = 0xB3415C00
		multiplier = 0x5DEECE66D
		addend     = 0xB
		mask       = 1<<48 - 1
	)
	seed := (uint64(id) ^ secret ^ multiplier) & mask
	var bytes []byte
	for range 4 {
		seed = (seed*multiplier + addend) & mask
		bytes = binary.LittleEndian.AppendUint32(bytes, uint32(seed>>16))
	}
	return bytes
}
