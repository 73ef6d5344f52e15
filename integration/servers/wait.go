package servers

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// await calls try until it returns nil, ctx ends or startTimeout is over.
func await(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// freePort returns a port of the loopback interface that was free a moment ago.
func freePort() (string, error) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: loopback.AsSlice()})
	if err != nil {
		return "", err
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port, listener.Close()
}
