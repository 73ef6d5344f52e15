package highlander

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/zkregistry"
)

// An identity is held by a cluster's root in the registry and by its store, so that one registry goes with one store and all nodes agree on where
// things are. Both hold it as JSON.
type identity struct {
	Cluster    uuid.UUID `json:"cluster"`
	Generation uint64    `json:"generation"` // raised when a new root takes over the store
	Registry   string    `json:"registry"`   // registryProcess or registryZooKeeper
	Partitions int       `json:"partitions"` // claims are made on objects, not on partitions: 0
	Buckets    int       `json:"buckets"`    // of containers in the root
	Layout     int       `json:"layout"`     // of the names in the root and in the store
	MaxLeaseMS int64     `json:"max_lease_ms"`
	Founding   bool      `json:"founding,omitempty"` // in a root: the store does not surely hold it yet
}

const (
	registryProcess   = "process"
	registryZooKeeper = "zookeeper"
)

// ours is the identity of a cluster that this program founds.
func ours(registry string, lease time.Duration) identity {
	return identity{Registry: registry, Buckets: zkregistry.Buckets, Layout: 1, MaxLeaseMS: lease.Milliseconds()}
}

func (i identity) String() string {
	return fmt.Sprintf("cluster %s, generation %d (registry %s, %d partitions, %d buckets, layout %d)", i.Cluster, i.Generation, i.Registry, i.Partitions, i.Buckets, i.Layout)
}

// same tells whether two identities are of one cluster and of one generation of it.
func (i identity) same(o identity) bool {
	return i.Cluster == o.Cluster && i.Generation == o.Generation
}

// fits tells whether this program, which would found want, can work in the cluster.
func (i identity) fits(want identity) bool {
	return i.Registry == want.Registry && i.Partitions == want.Partitions && i.Buckets == want.Buckets && i.Layout == want.Layout
}

// A place is where an identity is kept.
type place struct {
	name string
	load func(context.Context) (data []byte, tag string, err error)     // no data: there is none yet
	save func(ctx context.Context, data []byte, tag string) (err error) // if the place still has the tag
}

// identityBlob is the name of the identity in a store. No record has such a name.
const identityBlob = "cluster"

func inStore(name string, store object.Store) place {
	return place{
		name: "store " + name,
		load: func(ctx context.Context) ([]byte, string, error) {
			data, tag, err := store.Get(ctx, identityBlob)
			if errors.Is(err, object.ErrNoBlob) {
				return nil, "", nil
			}
			return data, string(tag), err
		},
		save: func(ctx context.Context, data []byte, tag string) error {
			condition := object.IfAbsent()
			if tag != "" {
				condition = object.IfMatch(object.Tag(tag))
			}
			_, err := store.Put(ctx, identityBlob, data, condition)
			return err
		},
	}
}

func inRoot(name string, r *zkregistry.Registry) place {
	return place{
		name: "root " + name,
		load: func(ctx context.Context) ([]byte, string, error) {
			data, version, err := r.Identity(ctx)
			return data, strconv.Itoa(int(version)), err
		},
		save: func(ctx context.Context, data []byte, tag string) error { return saveInRoot(ctx, r, data, tag, 0) },
	}
}

// saveInRoot writes the root's identity. If wait is not 0, who claims something then waits for leases of that length.
func saveInRoot(ctx context.Context, r *zkregistry.Registry, data []byte, tag string, wait time.Duration) error {
	version, err := strconv.ParseInt(tag, 10, 32)
	if err != nil {
		return err
	}
	return r.SetIdentity(ctx, data, int32(version), wait)
}

// read returns the place's identity, nil if there is none.
func (p place) read(ctx context.Context) (*identity, string, error) {
	data, tag, err := p.load(ctx)
	if err != nil || len(data) == 0 {
		return nil, tag, err
	}
	i := new(identity)
	if err := json.Unmarshal(data, i); err != nil {
		return nil, "", fmt.Errorf("the %s holds something that is no identity of a cluster: %w: is it used by another program?", p.name, err)
	}
	return i, tag, nil
}

func (p place) write(ctx context.Context, i identity, tag string) error {
	data, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return p.save(ctx, data, tag)
}

// meetTries is how often nodes that found a cluster at the same time may get in each other's way.
const meetTries = 20

// meet returns the identity of the cluster that root and store belong to, founding it when both are new. root is nil if there is
// nobody to share with: the registry is the process. Whatever does not go together is refused.
func meet(ctx context.Context, root *place, store place, want identity) (identity, error) {
	var last error
	for try := range meetTries {
		if try > 0 {
			select {
			case <-time.After(time.Duration(try) * 10 * time.Millisecond):
			case <-ctx.Done():
				return identity{}, errors.Join(ctx.Err(), last)
			}
		}
		i, done, err := meetOnce(ctx, root, store, want)
		if done {
			return i, err
		}
		last = err // of a write: somebody else may have been there first
	}
	return identity{}, fmt.Errorf("the cluster's identity could not be written: %w", last)
}

func meetOnce(ctx context.Context, root *place, store place, want identity) (i identity, done bool, err error) {
	if root == nil {
		stored, tag, err := store.read(ctx)
		switch {
		case err != nil:
			return i, true, err
		case stored == nil:
			want.Cluster, want.Generation = uuid.New(), 1
			return i, false, store.write(ctx, want, tag)
		}
		return settle(ctx, store, *stored, tag, want)
	}
	// A root is founded before its store and marked as founded after it, so it is read before the store; and again when it was not there.
	rooted, rootTag, err := root.read(ctx)
	if err != nil {
		return i, true, err
	}
	stored, tag, err := store.read(ctx)
	if err == nil && rooted == nil && stored != nil {
		rooted, rootTag, err = root.read(ctx)
	}
	switch {
	case err != nil:
		return i, true, err
	case rooted == nil && stored == nil:
		want.Cluster, want.Generation, want.Founding = uuid.New(), 1, true
		return i, false, root.write(ctx, want, rootTag)
	case rooted == nil && !stored.fits(want):
		return settle(ctx, store, *stored, tag, want) // which says so: adopting it would be no help
	case rooted == nil:
		return i, true, fmt.Errorf("the %s is new, but the %s is used by %v: is one of them the wrong one? If ZooKeeper has lost its data, stop all nodes and call highlander.AdoptStore once",
			root.name, store.name, stored)
	case stored == nil && rooted.Founding:
		i := *rooted
		i.Founding = false
		return i, false, store.write(ctx, i, tag)
	case stored == nil:
		return i, true, fmt.Errorf("the %s is used by %v, but the %s is empty: is one of them the wrong one?", root.name, rooted, store.name)
	case !rooted.same(*stored):
		return i, true, fmt.Errorf("the %s is used by %v, but the %s by %v: is one of them the wrong one?", root.name, rooted, store.name, stored)
	case rooted.Founding:
		i := *rooted
		i.Founding = false
		return i, false, root.write(ctx, i, rootTag)
	}
	return settle(ctx, store, *stored, tag, want)
}

// settle checks that this program can work in the cluster, and notes the length of its leases.
func settle(ctx context.Context, store place, stored identity, tag string, want identity) (i identity, done bool, err error) {
	if !stored.fits(want) {
		return i, true, fmt.Errorf("the %s is used by %v; this program needs registry %s, %d partitions, %d buckets, layout %d: use another store, or the program that made it",
			store.name, stored, want.Registry, want.Partitions, want.Buckets, want.Layout)
	}
	if stored.MaxLeaseMS < want.MaxLeaseMS {
		stored.MaxLeaseMS = want.MaxLeaseMS
		return i, false, store.write(ctx, stored, tag)
	}
	return stored, true, nil
}

// changed returns an error when root or store do not belong to the cluster i any more.
func changed(ctx context.Context, root *place, store place, i identity) error {
	for _, p := range []*place{root, &store} {
		if p == nil {
			continue
		}
		switch now, _, err := p.read(ctx); {
		case err != nil:
			return fmt.Errorf("%w: the identity of the cluster could not be read: %w", object.ErrUnavailable, err)
		case now == nil:
			return fmt.Errorf("the %s does not belong to %v any more: it is empty", p.name, i)
		case !now.same(i):
			return fmt.Errorf("the %s does not belong to %v any more, but to %v", p.name, i, now)
		}
	}
	return nil
}

// adopt makes root, which is new, the root of the cluster that store belongs to, as a new generation of it. wait writes the root's identity such that
// all who claim something first wait for leases of the length given.
func adopt(ctx context.Context, root, store place, wait func(ctx context.Context, data []byte, tag string, longest time.Duration) error, lease time.Duration) error {
	stored, tag, err := store.read(ctx)
	if err != nil {
		return err
	}
	rooted, rootTag, err := root.read(ctx)
	switch {
	case err != nil:
		return err
	case stored == nil:
		return fmt.Errorf("the %s is empty: there is nothing to adopt, open a node as usual", store.name)
	case !stored.fits(ours(registryZooKeeper, lease)):
		return fmt.Errorf("the %s is used by %v, which no node on ZooKeeper can work in: it cannot be adopted", store.name, stored)
	case rooted != nil && !rooted.Founding && rooted.Cluster != stored.Cluster:
		return fmt.Errorf("the %s is used by %v: it cannot adopt the %s, which is used by %v", root.name, rooted, store.name, stored)
	}
	next := *stored
	next.Generation++
	next.MaxLeaseMS = max(next.MaxLeaseMS, lease.Milliseconds())
	if err := store.write(ctx, next, tag); err != nil { // the store first: nodes of the former root stop when they see it
		return err
	}
	data, err := json.Marshal(next)
	if err != nil {
		return err
	}
	return wait(ctx, data, rootTag, time.Duration(next.MaxLeaseMS)*time.Millisecond)
}
