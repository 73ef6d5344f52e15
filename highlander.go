package highlander

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/highlander-go/highlander/internal/parts"
	"github.com/highlander-go/highlander/internal/zk/client"
	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
	"github.com/highlander-go/highlander/transport"
	"github.com/highlander-go/highlander/zkregistry"
)

// A Config says what a node works with. The zero Config is a node of its own that keeps everything in memory.
type Config struct {
	// Name is the node's name, for people: in logs, errors and [object.Info]. Empty: the host's name.
	Name string

	// Registry says who owns what. Empty or "mem:": this process alone. "zk://HOST:PORT,HOST:PORT/ROOT": ZooKeeper, where all nodes
	// of the cluster name the same root; see [zkregistry.Parse].
	Registry string

	// StateDir is a folder on a local disk, this node's alone, for a node on ZooKeeper: by it a process that was killed and is started again proves that its
	// predecessor is dead, and need not wait for it. Empty: it waits like everybody else.
	StateDir string

	// StopOnDisconnect is for a node on ZooKeeper that would rather not be available than answer from memory for the rest of its lease: whenever a
	// connection to ZooKeeper is lost, be it for a moment, all objects that were claimed through it are let go and wake anew.
	StopOnDisconnect bool

	// Cluster is the cluster's name: nodes of other clusters are refused. At most 255 bytes. Empty: "highlander".
	Cluster string

	// Listen is the TCP address, host:port, at which other nodes call this one's objects; port 0 is a free one. Empty: no other
	// node can call it, which only a client on ZooKeeper can do with. Addresses that other machines can reach are refused unless AllowPlaintext is set.
	Listen string

	// Advertise is the address, host:port, by which others reach Listen. Empty: the one that the node listens on.
	Advertise string

	// AllowPlaintext lets the node listen where other machines can reach it, although calls are neither encrypted nor
	// authenticated: whoever reaches the address can read and write all objects.
	AllowPlaintext bool

	// Serve names the types whose objects the node may own. Nil: all that it is opened with. Of others it only calls objects.
	Serve []string

	// ClientOnly is for a node that owns no objects and only calls them.
	ClientOnly bool

	// Placement says which node an object wakes at that nobody owns. The zero value spreads objects over the nodes.
	Placement object.Placement

	// Store holds the objects' records. Empty or "mem:": memory, which ends with the node. "file:DIR": a
	// folder, which one process at a time can use. "s3://BUCKET/PREFIX": S3, see [persist.Open].
	Store string

	// Lease is how long the node may answer from memory after the registry has acknowledged a renewal. It is
	// renewed four times as often. A longer one bears longer pauses; a shorter one lets others take over
	// sooner. 0: 2 s.
	Lease time.Duration

	// SessionTimeout is how long the registry waits for a node that it does not hear of, and how long calls wait for a registry
	// that does not answer; longer than Lease. 0: what the registry's URL says, else three leases.
	SessionTimeout time.Duration

	// Env is what methods get from [object.Env]: the application's mailer, its database, or a struct of such.
	Env any

	// Now is the time that methods get from [object.Info.Now]. Nil: time.Now.
	Now func() time.Time

	// CheckReads has each read method checked for changes of the committed state, which it shares with all readers: it fails if it has made any. It
	// costs two encodings of the state a read, so it is for tests; [OpenTest] sets it.
	CheckReads bool

	// Log is told of what an operator should know. Nil: slog.Default.
	Log *slog.Logger

	zookeeper zkregistry.Location // where Registry is
}

// withDefaults returns the config with its defaults filled in, or an error that says what to change.
func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		c.Name, _ = os.Hostname()
	}
	if c.Cluster == "" {
		c.Cluster = "highlander"
	}
	if c.Registry == "" {
		c.Registry = "mem:"
	}
	if c.Store == "" {
		c.Store = "mem:"
	}
	if c.Lease == 0 {
		c.Lease = memregistry.DefaultLease
	}
	var wrong []error
	if c.Registry != "mem:" {
		var err error
		if c.zookeeper, err = zkregistry.Parse(c.Registry); err != nil {
			wrong = append(wrong, fmt.Errorf("Config.Registry: %w; or \"mem:\" for this process alone", err))
		}
		if c.Listen == "" && !c.ClientOnly {
			wrong = append(wrong, errors.New("Config.Listen is empty: other nodes could not call what this one owns; give it an address, or set ClientOnly"))
		}
	} else if c.StateDir != "" {
		wrong = append(wrong, errors.New("Config.StateDir is for nodes on ZooKeeper: leave it out"))
	} else if c.StopOnDisconnect {
		wrong = append(wrong, errors.New("Config.StopOnDisconnect is for nodes on ZooKeeper: leave it out"))
	}
	if c.SessionTimeout == 0 {
		c.SessionTimeout = cmp.Or(c.zookeeper.SessionTimeout, 3*c.Lease)
	} else if url := c.zookeeper.SessionTimeout; url != 0 && url != c.SessionTimeout {
		wrong = append(wrong, fmt.Errorf("Config.SessionTimeout is %v, but the registry's URL says %v: set one of them", c.SessionTimeout, url))
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.ClientOnly && c.Serve != nil {
		wrong = append(wrong, fmt.Errorf("Config.ClientOnly: a client serves no types: leave out Config.Serve (%q)", c.Serve))
	}
	if c.ClientOnly {
		c.Serve = []string{}
	}
	if len(c.Cluster) > transport.MaxClusterBytes {
		wrong = append(wrong, fmt.Errorf("Config.Cluster has %d bytes: give it at most %d", len(c.Cluster), transport.MaxClusterBytes))
	}
	if c.Advertise != "" {
		if host, port, err := net.SplitHostPort(c.Advertise); err != nil || host == "" || port == "" || port == "0" {
			wrong = append(wrong, fmt.Errorf("Config.Advertise is %q: make it host:port, as other nodes reach this one", c.Advertise))
		} else if c.Listen == "" {
			wrong = append(wrong, fmt.Errorf("Config.Advertise is %q, but the node does not listen: set Config.Listen", c.Advertise))
		}
	}
	if c.Placement != object.Rendezvous && c.Placement != object.PreferLocal {
		wrong = append(wrong, fmt.Errorf("Config.Placement is %d: use object.Rendezvous or object.PreferLocal", c.Placement))
	}
	switch {
	case c.Lease < 10*time.Millisecond: // the session timeout may be three of it
		wrong = append(wrong, fmt.Errorf("Config.Lease is %v: make it 10 ms or more; 2 s is a good start", c.Lease))
	case c.SessionTimeout <= c.Lease:
		wrong = append(wrong, fmt.Errorf("Config.SessionTimeout is %v: make it longer than Config.Lease (%v), best three times as long", c.SessionTimeout, c.Lease))
	}
	return c, said(wrong...)
}

// said joins what the package says, each error on a line under its name.
func said(errs ...error) error {
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("highlander: %w", err)
		}
	}
	return errors.Join(errs...)
}

// Open opens a node that serves objects of the defined types. It returns when the node is ready for calls, or
// with an error when that cannot be, or when ctx ends. Without a deadline it waits for ZooKeeper as long as that takes, and
// says so in the log. Close or Drain the node when it is not needed any more.
func Open(ctx context.Context, config Config, definitions ...object.Definition) (*Node, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	n := newNode(config)
	if err := n.open(ctx, definitions); err != nil {
		return nil, said(err, n.release())
	}
	return n, nil
}

// open opens what the config names, one after the other. What is open on an error is for release.
func (n *Node) open(ctx context.Context, definitions []object.Definition) (err error) {
	config := &n.config
	if n.parts = parts.From(ctx); n.parts.Store != nil {
		n.store = keptStore{n.parts.Store}
	} else if n.store, err = persist.Open(ctx, config.Store); err != nil {
		return fmt.Errorf("Config.Store: %w", err)
	}
	var can persist.Capabilities
	checked := make(chan error, 1)
	go func() { // meanwhile: both take a while, and a node that starts again should be back soon
		var err error
		can, err = persist.Check(ctx, n.store)
		checked <- err
	}()
	if err = n.openRegistry(ctx); err != nil {
		err = fmt.Errorf("Config.Registry: %w", err)
	}
	failed := <-checked
	switch {
	case failed != nil && err != nil:
		return fmt.Errorf("Config.Store: %w; %w", failed, err)
	case failed != nil:
		return fmt.Errorf("Config.Store: %w", failed)
	case err != nil:
		return err
	}
	if n.identity, err = meet(ctx, n.root, inStore(config.Store, n.store), n.wanted()); err != nil {
		return err
	}
	return n.start(ctx, persist.NewClusterRecords(n.store, n.identity.Generation, can.ConditionalDelete), definitions)
}

// openRegistry opens the registry and, where there are other nodes, this node's end of the connections to them.
func (n *Node) openRegistry(ctx context.Context) error {
	config := &n.config
	if n.parts.Registry != nil {
		n.registry = keptRegistry{n.parts.Registry}
		return nil
	}
	if config.Registry == "mem:" {
		n.registry = memregistry.New(memregistry.Options{Lease: config.Lease, SessionTimeout: config.SessionTimeout})
		return nil
	}
	if err := n.connect(); err != nil {
		return err
	}
	ensemble, err := client.New(config.zookeeper.Servers, client.Options{Logger: config.Log, Dial: n.parts.DialRegistry})
	if err != nil {
		return err
	}
	r, err := zkregistry.Open(ctx, ensemble, zkregistry.Options{
		Root: config.zookeeper.Root, Lease: config.Lease, SessionTimeout: config.SessionTimeout, StateDir: config.StateDir,
		StopOnDisconnect: config.StopOnDisconnect, Probe: n.endpoint.Ping, Log: config.Log,
	})
	if err != nil {
		return err
	}
	root := inRoot(config.Registry, r)
	n.registry, n.root = r, &root
	return nil
}

// What a node was given and does not close.
type (
	keptRegistry struct{ object.Registry }
	keptStore    struct{ object.Store }
)

func (keptRegistry) Close() error { return nil }
func (keptStore) Close() error    { return nil }

func (n *Node) wanted() identity {
	if n.root == nil {
		return ours(registryProcess, n.config.Lease)
	}
	return ours(registryZooKeeper, n.config.Lease)
}

// AdoptStore makes the root of config.Registry, which must be a new one, the root of the cluster that config.Store belongs to: for an operator
// to call once, while no node runs, when ZooKeeper has lost its data. Nodes of the former root, should there be any, stop when they notice; all who claim an object
// wait until leases of the former root are over. Of config, only Registry, Store, Lease, SessionTimeout and Log count.
func AdoptStore(ctx context.Context, config Config) error {
	config.ClientOnly = true
	config, err := config.withDefaults()
	if err != nil {
		return err
	}
	n := newNode(config)
	if n.store, err = persist.Open(ctx, config.Store); err == nil {
		err = n.openRegistry(ctx)
	}
	if r, ok := n.registry.(*zkregistry.Registry); err == nil && !ok {
		err = errors.New("only a root in ZooKeeper can adopt a store")
	} else if err == nil {
		err = adopt(ctx, *n.root, inStore(config.Store, n.store), func(ctx context.Context, data []byte, tag string, longest time.Duration) error {
			return saveInRoot(ctx, r, data, tag, longest)
		}, config.Lease)
	}
	if err = errors.Join(err, n.release()); err != nil {
		return fmt.Errorf("highlander: adopt the store: %w", err)
	}
	return nil
}
