package highlandertest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// connected returns both ends of a connection between places 0 and 1.
func connected(n *network) (near, far *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.connect(0, 1, "far")
}

func TestAConnectionCarriesMoreThanFitsInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := connected(newNetwork(false))
		sent := bytes.Repeat([]byte("0123456789abcdef"), maxInStream/8) // twice what fits
		done := make(chan int, 1)
		go func() { n, _ := near.Write(sent); near.Close(); done <- n }()
		if synctest.Wait(); len(done) > 0 || len(near.out.bytes) != maxInStream {
			t.Errorf("%d bytes are on their way", len(near.out.bytes))
		}
		got, err := io.ReadAll(far)
		if !bytes.Equal(got, sent) || err != nil || <-done != len(sent) {
			t.Errorf("%d bytes have arrived, %v", len(got), err)
		}
		if _, err := far.Write(sent); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("a write that nobody will read: %v", err)
		}
		if _, err := near.Read(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a read after Close: %v", err)
		}
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := connected(newNetwork(false))
		start := time.Now()
		near.SetReadDeadline(start.Add(time.Second))
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		near.SetDeadline(time.Now().Add(time.Second))
		if n, err := near.Write(make([]byte, 2*maxInStream)); n != maxInStream || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes, %v", n, err)
		}
		near.SetReadDeadline(time.Time{})
		go func() { time.Sleep(time.Hour); far.Write([]byte("x")) }()
		if _, err := near.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
	})
}

// What is written while nothing passes arrives when it does, and so does the end of the connection.
func TestWhatACutHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(false)
		near, far := connected(n)
		n.change(func() { n.cut[[2]int{0, 1}] = true })
		near.Write([]byte("held"))
		near.Close()
		got := make(chan string, 1)
		go func() { all, _ := io.ReadAll(far); got <- string(all) }()
		if time.Sleep(time.Hour); len(got) > 0 {
			t.Errorf("it arrives: %q", <-got)
		}
		if _, err := far.Write([]byte("does not know that there is no reader")); err != nil {
			t.Error(err)
		}
		n.change(func() { clear(n.cut) })
		if all := <-got; all != "held" {
			t.Errorf("%q has arrived", all)
		}
	})
}
