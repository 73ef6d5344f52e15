// Package parts lets package highlandertest open nodes that work with a registry, a store and connections of its own. They travel in the context that
// highlander.Open is given, so that they are no part of what applications see.
package parts

import (
	"context"
	"net"

	"github.com/highlander-go/highlander/object"
)

// Parts are what a node works with instead of what its Config names. What is nil is as the Config says. A node does not close them.
type Parts struct {
	Registry object.Registry
	Store    object.Store

	Dial         Dial // to other nodes
	DialRegistry Dial // to the registry's servers
	Listen       func(address string) (net.Listener, error)
}

// A Dial opens a connection until ctx ends.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

type key struct{}

// With returns a context to open a node with.
func With(ctx context.Context, p Parts) context.Context { return context.WithValue(ctx, key{}, p) }

// From returns what With was given, nothing if it was not called.
func From(ctx context.Context) Parts {
	p, _ := ctx.Value(key{}).(Parts)
	return p
}
