package client

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
)

// A fake is a server that does what a test wants, which a real one does rarely or never.
type fake struct {
	listener net.Listener
	greet    func(id int64) int64                                // the id that is granted to a client that comes with id
	serve    func(c *fakeConn, xid, op int32, body []byte) error // a request; an error closes the connection
	serving  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

type fakeConn struct {
	net.Conn
	id int64
}

// newFake starts a server that knows one session, 7, and grants all that is asked for. The test may change that before a client comes.
func newFake(t *testing.T) *fake {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{listener: listener, conns: map[net.Conn]bool{}}
	f.greet = func(int64) int64 { return 7 }
	f.serve = func(c *fakeConn, xid, _ int32, _ []byte) error { return c.answer(xid, 0) }
	f.serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns[conn] = true
			f.mu.Unlock()
			f.serving.Go(func() {
				f.converse(&fakeConn{Conn: conn})
				f.mu.Lock()
				defer f.mu.Unlock()
				delete(f.conns, conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		f.disconnectAll()
		f.serving.Wait()
	})
	return f
}

func (f *fake) addr() string { return f.listener.Addr().String() }

func (f *fake) disconnectAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for conn := range f.conns {
		_ = conn.Close()
	}
}

func (f *fake) converse(c *fakeConn) {
	hello, err := readFrame(c)
	if err != nil {
		return
	}
	c.id = f.greet(int64(binary.BigEndian.Uint64(hello[16:])))
	if c.id < 0 {
		return // refused
	}
	var welcome []byte
	welcome = binary.BigEndian.AppendUint32(welcome, 0)
	welcome = append(welcome, hello[12:16]...) // the timeout
	welcome = binary.BigEndian.AppendUint64(welcome, uint64(c.id))
	welcome = binary.BigEndian.AppendUint32(welcome, 16)
	welcome = append(welcome, make([]byte, 17)...) // password, not read-only
	if c.send(welcome) != nil {
		return
	}
	for {
		request, err := readFrame(c)
		if err != nil {
			return
		}
		xid, op := int32(binary.BigEndian.Uint32(request)), int32(binary.BigEndian.Uint32(request[4:]))
		if op == opPing {
			err = c.answer(xid, 0)
		} else {
			err = f.serve(c, xid, op, request[8:])
		}
		if err != nil {
			return
		}
	}
}

// answer sends the answer to a request.
func (c *fakeConn) answer(xid, code int32, body ...byte) error {
	var header []byte
	for _, field := range []int32{xid, 0, 1, code} {
		header = binary.BigEndian.AppendUint32(header, uint32(field))
	}
	return c.send(append(header, body...))
}

func (c *fakeConn) send(body []byte) error {
	_, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

func readFrame(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(length[:]))
	_, err := io.ReadFull(r, body)
	return body, err
}

// firstString reads the path at the start of a request.
func firstString(body []byte) string {
	return string(body[4 : 4+binary.BigEndian.Uint32(body)])
}
