package highlander

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
	"github.com/highlander-go/highlander/transport"
)

// A Config says what a node works with. The zero Config is a node of its own that keeps everything in memory.
type Config struct {
	// Name is the node's name, for people: in logs, errors and [object.Info]. Empty: the host's name.
	Name string

	// Registry says who owns what. Empty or "mem:": this process alone.
	Registry string

	// Cluster is the cluster's name: nodes of other clusters are refused. At most 255 bytes. Empty: "highlander".
	Cluster string

	// Listen is the TCP address, host:port, at which other nodes call this one's objects; port 0 is a free one. Empty: no other
	// node can call it. Addresses that other machines can reach are refused unless AllowPlaintext is set.
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
	// that does not answer; longer than Lease. 0: three leases.
	SessionTimeout time.Duration

	// Env is what methods get from [object.Env]: the application's mailer, its database, or a struct of such.
	Env any

	// Now is the time that methods get from [object.Info.Now]. Nil: time.Now.
	Now func() time.Time

	// Log is told of what an operator should know. Nil: slog.Default.
	Log *slog.Logger
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
	if c.SessionTimeout == 0 {
		c.SessionTimeout = 3 * c.Lease
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	var wrong []error
	if scheme, _, _ := strings.Cut(c.Registry, ":"); c.Registry != "mem:" {
		wrong = append(wrong, fmt.Errorf("Config.Registry: %q registries are not supported yet: use \"mem:\"", scheme+":"))
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
	if c.Lease < 10*time.Millisecond {
		wrong = append(wrong, fmt.Errorf("Config.Lease is %v: make it 10 ms or more; 2 s is a good start", c.Lease))
	}
	if c.SessionTimeout <= c.Lease {
		wrong = append(wrong, fmt.Errorf("Config.SessionTimeout is %v: make it longer than Config.Lease (%v), best three times as long", c.SessionTimeout, c.Lease))
	}
	return c, errors.Join(wrong...)
}

// Open opens a node that serves objects of the defined types. It returns when the node is ready for calls, or
// with an error when that cannot be, or when ctx ends. Close or Drain the node when it is not needed any more.
func Open(ctx context.Context, config Config, definitions ...object.Definition) (*Node, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("highlander: %w", err)
	}
	store, err := persist.Open(ctx, config.Store)
	if err != nil {
		return nil, fmt.Errorf("highlander: Config.Store: %w", err)
	}
	if _, err := persist.Check(ctx, store); err != nil {
		return nil, errors.Join(fmt.Errorf("highlander: Config.Store: %w", err), store.Close())
	}
	registry := memregistry.New(memregistry.Options{Lease: config.Lease, SessionTimeout: config.SessionTimeout})
	n, err := open(ctx, config, registry, store, definitions)
	if err != nil {
		return nil, fmt.Errorf("highlander: %w", errors.Join(err, registry.Close(), store.Close()))
	}
	return n, nil
}
