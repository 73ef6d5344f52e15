package highlander

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
	"github.com/highlander-go/highlander/supervisor"
)

// A registry is one that ends with the node.
type registry interface {
	object.Registry
	io.Closer
}

// A Node is one process's part in the cluster. It is an [object.Node]: objects are called through it. It may be used
// concurrently.
type Node struct {
	config   Config
	host     *object.Host
	registry registry
	store    persist.Store

	stop  context.CancelFunc // stops the tree
	done  chan struct{}      // closed when everything has stopped
	err   error              // why, if nobody asked for it; read it after done
	close sync.Once
}

// open starts the node's tree. On error nothing is left running, and the registry and the store are still open.
func open(ctx context.Context, config Config, r registry, s persist.Store, definitions []object.Definition) (*Node, error) {
	host, err := object.NewHost(object.HostConfig{
		Node:      config.Name,
		Registry:  r,
		Committer: persist.NewRecords(s),
		Log:       config.Log,
		Env:       config.Env,
		Now:       config.Now,
	}, definitions...)
	if err != nil {
		return nil, err
	}
	n := &Node{config: config, host: host, registry: r, store: s, done: make(chan struct{})}
	tree, err := n.tree()
	if err != nil {
		return nil, err
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.stop = stop
	ready := make(chan struct{})
	go func() {
		defer close(n.done)
		defer host.Close()
		if err := tree.Run(life, sync.OnceFunc(func() { close(ready) })); err != nil {
			n.err = fmt.Errorf("highlander: node %s has stopped: %w", config.Name, err)
			config.Log.Error("the node has stopped", "node", config.Name, "error", err)
		}
	}()
	select {
	case <-ready:
		return n, nil
	case <-n.done:
		stop()
		return nil, n.err
	case <-ctx.Done():
		stop()
		<-n.done
		return nil, fmt.Errorf("the registry %s did not let the node in: %w", config.Registry, ctx.Err())
	}
}

// tree is the node's supervision tree: a session, and the objects that live under it. When the session is
// lost the objects are torn down, and both begin anew.
func (n *Node) tree() (*supervisor.Supervisor, error) {
	b := &branch{node: n}
	return supervisor.New(supervisor.Spec{
		Strategy: supervisor.RestForOne,
		Children: []supervisor.Child{
			{Name: "session", Run: b.runSession, StopTimeout: 2 * retireTimeout},
			{Name: "objects", Run: b.runObjects, StopTimeout: 2 * serveTimeout},
		},
		// What cannot be reached will be again: that never makes the node give up.
		Counts: func(err error) bool { return !errors.Is(err, object.ErrUnavailable) },
		Logger: n.config.Log,
	})
}

const (
	retireTimeout = 5 * time.Second
	serveTimeout  = 15 * time.Second // Host.Serve gives up on methods after 10 s
)

// A branch is one session and its objects.
type branch struct {
	node    *Node
	session object.Session // of the last start
}

// runSession keeps the node in the registry until its session is lost. It starts after all objects of an earlier
// session have been torn down, which is what lets it retire that one: nobody need wait for its lease.
func (b *branch) runSession(ctx context.Context, ready func()) error {
	b.retire()
	session, err := b.node.registry.Join(ctx, object.Member{Incarnation: uuid.New(), Name: b.node.config.Name})
	if err != nil {
		return fmt.Errorf("joining the registry %s: %w", b.node.config.Registry, err)
	}
	b.session = session
	ready()
	select {
	case <-ctx.Done():
		b.retire()
		return nil
	case <-session.Lease().Done():
		return fmt.Errorf("the session was lost: %w: %w", object.ErrUnavailable, session.Lease().Err())
	}
}

func (b *branch) retire() {
	if b.session == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), retireTimeout)
	defer cancel()
	if err := b.session.Retire(ctx); err != nil {
		b.node.config.Log.Warn("the node could not leave the registry: others wait for its lease to be over", "node", b.node.config.Name, "error", err)
	}
	b.session = nil
}

func (b *branch) runObjects(ctx context.Context, ready func()) error {
	ready()
	err := b.node.host.Serve(ctx, b.session)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%w: %w", object.ErrUnavailable, err)
}

// Host is what objects are called through. It makes the node an [object.Node].
func (n *Node) Host() *object.Host { return n.host }

// Name is the node's name.
func (n *Node) Name() string { return n.config.Name }

// Ready returns nil when the node has a session whose lease holds, and else an error that says what is missing.
func (n *Node) Ready() error { return n.host.Ready() }

// Done is closed when the node has stopped: after Close or Drain, or when it could not go on; see [Node.Err].
func (n *Node) Done() <-chan struct{} { return n.done }

// Err says why the node has stopped by itself; nil while it runs, and when it was closed.
func (n *Node) Err() error {
	select {
	case <-n.done:
		return n.err
	default:
		return nil
	}
}

// Drain lets calls that were accepted finish, releases all objects, and closes the node. When ctx ends
// before, it closes the node all the same, as [Node.Close] does, and the error says how many objects were left.
func (n *Node) Drain(ctx context.Context) error {
	return errors.Join(n.host.Drain(ctx), n.Close())
}

// Close stops the node at once. Calls under way end with an error that says what is known of their
// outcome; later calls fail with [object.ErrClosed]. It may be called again.
func (n *Node) Close() error {
	var err error
	n.close.Do(func() {
		n.host.Close()
		n.stop()
		<-n.done
		err = errors.Join(n.registry.Close(), n.store.Close())
	})
	<-n.done
	return err
}
