package highlander

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/internal/parts"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
	"github.com/highlander-go/highlander/supervisor"
	"github.com/highlander-go/highlander/transport"
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
	parts    parts.Parts
	me       object.Member // the node's part of its sessions
	host     *object.Host
	endpoint *transport.Endpoint // nil: there are no other nodes
	registry registry
	store    persist.Store
	root     *place   // of the cluster, in the registry; nil: there is none
	identity identity // of the cluster

	sessions atomic.Int64  // that have been opened
	grow     chan struct{} // capacity 1: another session is wanted

	stop  context.CancelFunc // stops the tree
	done  chan struct{}      // closed when everything has stopped
	err   error              // why, if nobody asked for it; read it after done
	close sync.Once
}

func newNode(config Config) *Node {
	return &Node{config: config, grow: make(chan struct{}, 1), done: make(chan struct{}), stop: func() {}}
}

// connect makes the node's end of the connections to other nodes.
func (n *Node) connect() (err error) {
	n.endpoint, err = transport.New(transport.Config{Cluster: n.config.Cluster, Handler: n.handle, AllowPlaintext: n.config.AllowPlaintext, Log: n.config.Log,
		Dial: n.parts.Dial, Listen: n.parts.Listen})
	return err
}

// start starts the node's tree. On error nothing of it is left running.
func (n *Node) start(ctx context.Context, records object.Committer, definitions []object.Definition) (err error) {
	config := &n.config
	host := object.HostConfig{
		Node:      config.Name,
		Registry:  n.registry,
		Committer: records,
		Log:       config.Log,
		Env:       config.Env,
		Now:       config.Now,
		Serves:    config.Serve,
		Placement: config.Placement,
		Grow:      n.askForSession,

		CheckReads: config.CheckReads,
	}
	if n.endpoint == nil && config.Listen != "" {
		if err := n.connect(); err != nil {
			return err
		}
	}
	if n.endpoint != nil {
		host.Transport = n.endpoint
	}
	if n.host, err = object.NewHost(host, definitions...); err != nil {
		return err
	}
	n.me = object.Member{Incarnation: uuid.New(), Name: config.Name, Types: n.host.Serves()}
	if err := n.listen(); err != nil {
		return err
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.stop = stop
	ready := make(chan struct{})
	go func() {
		defer close(n.done)
		defer n.host.Close()
		if err := n.serve(life, sync.OnceFunc(func() { close(ready) })); err != nil {
			n.err = fmt.Errorf("highlander: node %s has stopped: %w", config.Name, err)
			config.Log.Error("the node has stopped", "node", config.Name, "error", err)
		}
	}()
	select {
	case <-ready:
		return nil
	case <-n.done:
		stop()
		return n.err
	case <-ctx.Done():
		stop()
		<-n.done
		return fmt.Errorf("the registry %s did not let the node in: %w", config.Registry, ctx.Err())
	}
}

func (n *Node) handle(ctx context.Context, r *object.Request) ([]byte, error) {
	return n.host.Handle(ctx, r)
}

// listen has the node take calls from others, if it is to. The listener stays as long as the node, whatever becomes of its sessions.
func (n *Node) listen() error {
	if n.endpoint == nil {
		return nil
	}
	n.endpoint.SetIncarnation(n.me.Incarnation)
	if n.config.Listen == "" {
		return nil
	}
	address, err := n.endpoint.Listen(n.config.Listen)
	if err != nil {
		return fmt.Errorf("Config.Listen: %w", err)
	}
	n.me.Address = n.config.Advertise
	if n.me.Address != "" {
		return nil
	}
	if a, ok := address.(*net.TCPAddr); ok && a.IP.IsUnspecified() {
		return fmt.Errorf("Config.Listen is %q: set Config.Advertise to the host:port by which other nodes reach this one", n.config.Listen)
	}
	n.me.Address = address.String()
	return nil
}

// askForSession has the node open another session, unless it is about to.
func (n *Node) askForSession() {
	select {
	case n.grow <- struct{}{}:
	default:
	}
}

// serve is the node's supervision tree: branches side by side, each a session and the objects that live under it. There is one to
// begin with, and one more whenever all sessions are full; when one cannot go on, the node cannot.
func (n *Node) serve(ctx context.Context, ready func()) (err error) {
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	failed := make(chan error, 1)
	var branches []*branch
	start := func() error {
		b := &branch{node: n}
		tree, err := b.tree()
		if err != nil {
			return err
		}
		branches = append(branches, b)
		running.Go(func() {
			defer b.retire() // also a session that was lost: its objects have been torn down, and nobody need wait for its lease
			err := tree.Run(ctx, ready)
			if err != nil && (ctx.Err() == nil || errors.Is(err, supervisor.ErrNotStopped)) { // else it says what was lost just as it was to stop
				select {
				case failed <- err:
				default:
				}
			}
		})
		return nil
	}
	if n.config.ClientOnly {
		ready() // it owns nothing: it needs no session, and nobody has to wait for it when it is lost
	} else if err := start(); err != nil {
		return err
	}
	look := time.NewTicker(lookAtIdentity)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if err := n.stillOurs(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			stop()
			running.Wait()
			select {
			case err := <-failed:
				return err
			default:
				return nil
			}
		case err := <-failed:
			return err
		case <-n.grow:
			if slices.ContainsFunc(branches, (*branch).hasRoom) {
				continue // it was asked for before there was
			}
			if err := start(); err != nil {
				return err
			}
		}
	}
}

// lookAtIdentity is how often a node looks whether root and store still belong to its cluster.
const lookAtIdentity = time.Minute

// stillOurs returns an error when the node's root or store belong to another cluster, or another generation of it.
func (n *Node) stillOurs(ctx context.Context) error {
	if n.identity == (identity{}) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, retireTimeout)
	defer cancel()
	err := changed(ctx, n.root, inStore(n.config.Store, n.store), n.identity)
	if errors.Is(err, object.ErrUnavailable) {
		n.config.Log.Warn("it could not be seen whether the cluster is still the same", "node", n.config.Name, "error", err)
		return nil
	}
	return err
}

// tree is a branch of the node's supervision tree: a session, and the objects that live under it. When the session is
// lost the objects are torn down, and both begin anew.
func (b *branch) tree() (*supervisor.Supervisor, error) {
	return supervisor.New(supervisor.Spec{
		Strategy: supervisor.RestForOne,
		Children: []supervisor.Child{
			{Name: "session", Run: b.runSession, StopTimeout: 2 * retireTimeout},
			{Name: "objects", Run: b.runObjects, StopTimeout: 2 * serveTimeout},
		},
		// What cannot be reached will be again: that never makes the node give up.
		Counts: func(err error) bool { return !errors.Is(err, object.ErrUnavailable) },
		Logger: b.node.config.Log,
	})
}

const (
	retireTimeout = 5 * time.Second
	serveTimeout  = 15 * time.Second // Host.Serve gives up on methods after 10 s
)

// A branch is one session and its objects.
type branch struct {
	node *Node

	mu      sync.Mutex
	session object.Session // of the last start; nil: none, as yet
}

// hasRoom tells whether objects can be claimed in the branch, or soon can.
func (b *branch) hasRoom() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.session == nil || b.session.Lease().Err() != nil || !b.session.Full()
}

func (b *branch) now() object.Session {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.session
}

func (b *branch) set(s object.Session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.session = s
}

// runSession keeps the node in the registry until its session is lost. It starts after all objects of an earlier
// session have been torn down, which is what lets it retire that one: nobody need wait for its lease.
//
// Sessions are numbered through the node's life, and its incarnation stays the same: a number is never used twice. A put that an
// object of a lost session has sent may still land after the object was loaded under another one. That is a
// predecessor's late write like any other: one of the two puts fails its condition, and the object adopts what it finds.
func (b *branch) runSession(ctx context.Context, ready func()) error {
	b.retire()
	me := b.node.me
	me.Session = int(b.node.sessions.Add(1))
	session, err := b.node.registry.Join(ctx, me)
	if err != nil {
		return fmt.Errorf("joining the registry %s: %w", b.node.config.Registry, err)
	}
	b.set(session)
	ready()
	select {
	case <-ctx.Done():
		return nil // it is retired with the branch
	case <-session.Lease().Done():
		return fmt.Errorf("the session was lost: %w: %w", object.ErrUnavailable, session.Lease().Err())
	}
}

func (b *branch) retire() {
	session := b.now()
	if session == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), retireTimeout)
	defer cancel()
	if err := session.Retire(ctx); err != nil {
		b.node.config.Log.Warn("the node could not leave the registry: others wait for its lease to be over", "node", b.node.config.Name, "error", err)
	}
	b.set(nil)
}

func (b *branch) runObjects(ctx context.Context, ready func()) error {
	err := b.node.host.Serve(ctx, b.now(), ready)
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

// Drain lets calls that were accepted finish, releases all objects, and closes the node. Other nodes are told to call elsewhere before
// the first object is released. When ctx ends before, it closes the node all the same, as [Node.Close] does, and the error
// says what was left.
func (n *Node) Drain(ctx context.Context) error {
	err := n.host.Drain(ctx)
	if n.endpoint != nil {
		err = errors.Join(err, n.endpoint.Drain(ctx))
	}
	return errors.Join(err, n.Close())
}

// Close stops the node at once. Calls under way end with an error that says what is known of their
// outcome; later calls fail with [object.ErrClosed]. It may be called again.
func (n *Node) Close() error {
	var err error
	n.close.Do(func() {
		n.host.Close()
		n.stop()
		<-n.done
		err = n.release()
	})
	<-n.done
	return err
}

// release closes what the node has opened. Nothing of it runs any more; others were told by the host that it is closed.
func (n *Node) release() (err error) {
	if n.endpoint != nil {
		err = n.endpoint.Close()
	}
	if n.registry != nil {
		err = errors.Join(err, n.registry.Close())
	}
	if n.store != nil {
		err = errors.Join(err, n.store.Close())
	}
	return err
}
