package zkregistry

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/object"
)

// Identity returns what the root says of the cluster that it belongs to, and its version for [Registry.SetIdentity]. Empty: nothing yet.
func (r *Registry) Identity(ctx context.Context) (data []byte, version int32, err error) {
	c, err := r.connection(ctx)
	if err == nil {
		err = persistently(ctx, func() error {
			if err := c.Sync(ctx, r.paths.root); err != nil { // a root that was founded a moment ago must not look new
				return err
			}
			data, version, err = c.Get(ctx, r.paths.root)
			return err
		})
	}
	if errors.Is(err, zk.ErrNoNode) {
		return nil, 0, nil // wiped
	} else if err != nil {
		return nil, 0, unavailable("read the identity in the root "+r.paths.root, err)
	}
	return data, version, nil
}

// SetIdentity writes the root's identity if it still has the version. If wait is not 0, all who claim something must first outwait a lease of that
// length: nobody knows what leases were given under an earlier root.
func (r *Registry) SetIdentity(ctx context.Context, data []byte, version int32, wait time.Duration) error {
	ops := []zk.Op{zk.SetOp(r.paths.root, data, version)}
	if wait > 0 { // a member that has no live twin was lost: the ordinary rule
		m := memberInfo{object.Member{Incarnation: uuid.New(), Name: "all of the former root"}, wait}
		described, err := encodeMember(m)
		if err != nil {
			return err
		}
		ops = append(ops, zk.CreateOp(r.paths.member(pairName(m.Member)), described, zk.Persistent))
	}
	c, err := r.connection(ctx)
	if err == nil {
		err = c.Multi(ctx, ops...)
	}
	if err != nil {
		return unavailable("write the identity into the root "+r.paths.root, err)
	}
	return nil
}
