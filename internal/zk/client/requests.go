package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	gozk "github.com/go-zookeeper/zk"

	"github.com/highlander-go/highlander/internal/zk"
)

// overhead is more than a request, or a part of a multi, has besides paths and data.
const overhead = 64

var flags = map[zk.Mode]int32{
	zk.Persistent:          gozk.FlagPersistent,
	zk.Ephemeral:           gozk.FlagEphemeral,
	zk.EphemeralSequential: gozk.FlagEphemeralSequential,
	zk.Container:           gozk.FlagContainer,
}

func (s *session) Create(ctx context.Context, path string, data []byte, mode zk.Mode) (string, error) {
	flag, known := flags[mode]
	if !known {
		return "", fmt.Errorf("create %s: there is no mode %d", path, mode)
	}
	var created string
	data = slices.Clone(data) // the library reads it some time, perhaps after the caller gave up
	err := s.do(ctx, "create", path, len(path)+len(data)+overhead, func(*request) (err error) {
		if mode == zk.Container {
			created, err = s.lib.CreateContainer(path, data, flag, gozk.WorldACL(gozk.PermAll))
		} else {
			created, err = s.lib.Create(path, data, flag, gozk.WorldACL(gozk.PermAll))
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return created, nil
}

func (s *session) Children(ctx context.Context, path string, watch bool) ([]string, error) {
	var names []string
	err := s.do(ctx, "list", path, len(path)+overhead, func(r *request) (err error) {
		r.watch = watch
		names, _, err = s.lib.Children(path)
		return err
	})
	if err != nil {
		return nil, err
	}
	return names, nil
}

func (s *session) Get(ctx context.Context, path string) ([]byte, int32, error) {
	var data []byte
	var stat *gozk.Stat
	err := s.do(ctx, "get", path, len(path)+overhead, func(*request) (err error) {
		data, stat, err = s.lib.Get(path)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return data, stat.Version, nil
}

func (s *session) Set(ctx context.Context, path string, data []byte, version int32) error {
	data = slices.Clone(data)
	return s.do(ctx, "set", path, len(path)+len(data)+overhead, func(*request) error {
		_, err := s.lib.Set(path, data, version)
		return err
	})
}

func (s *session) Delete(ctx context.Context, path string, version int32) error {
	return s.do(ctx, "delete", path, len(path)+overhead, func(*request) error { return s.lib.Delete(path, version) })
}

// Sync writes, in a transaction that changes nothing. ZooKeeper's own sync is no order at the leader: it answers at once there, and what a
// follower has acknowledged may still wait for the leader's own tree (seen with 3.8: a read after it was one write behind).
func (s *session) Sync(ctx context.Context, path string) error {
	return s.do(ctx, "sync", path, len(path)+overhead, func(*request) error {
		results, err := s.lib.Multi(&gozk.CheckVersionRequest{Path: path, Version: zk.AnyVersion})
		if len(results) > 0 { // a check that fails is a transaction as well
			return nil
		}
		return err
	})
}

func (s *session) Multi(ctx context.Context, ops ...zk.Op) error {
	size := overhead
	var requests []any
	for _, op := range ops {
		size += len(op.Path) + len(op.Data) + overhead
		switch flag, known := flags[op.Mode]; {
		case op.Kind == zk.OpCreate && known && op.Mode != zk.Container:
			requests = append(requests, &gozk.CreateRequest{Path: op.Path, Data: slices.Clone(op.Data), Acl: gozk.WorldACL(gozk.PermAll), Flags: flag})
		case op.Kind == zk.OpDelete:
			requests = append(requests, &gozk.DeleteRequest{Path: op.Path, Version: op.Version})
		case op.Kind == zk.OpSet:
			requests = append(requests, &gozk.SetDataRequest{Path: op.Path, Data: slices.Clone(op.Data), Version: op.Version})
		default:
			return fmt.Errorf("multi: an operation of kind %d, mode %d on %s cannot be part of one", op.Kind, op.Mode, op.Path)
		}
	}
	return s.do(ctx, "multi", fmt.Sprintf("of %d", len(ops)), size, func(*request) error {
		results, err := s.lib.Multi(requests...)
		for i, result := range results {
			if result.Error != nil { // those after the first one were not tried, and have an error that says so
				return fmt.Errorf("%s: %w", ops[i].Path, definite(result.Error))
			}
		}
		return err
	})
}

// outcome says what is known of a request after the library has returned err. left says whether the request has left for a server, over
// whether the session is over.
func outcome(err error, left, over bool) error {
	switch err = definite(err); {
	case err == nil:
		return nil
	case !left && over:
		return zk.ErrSessionOver
	case errors.Is(err, gozk.ErrConnectionClosed), errors.Is(err, gozk.ErrClosing), errors.Is(err, gozk.ErrNoServer):
		return zk.ErrConnectionLost
	case errors.Is(err, gozk.ErrSessionExpired), errors.Is(err, gozk.ErrSessionMoved): // the session gives up the connection over them
		return zk.ErrConnectionLost
	}
	return err
}

// definite translates what only a server's answer makes the library say.
func definite(err error) error {
	switch err {
	case gozk.ErrNoNode:
		return zk.ErrNoNode
	case gozk.ErrNodeExists:
		return zk.ErrNodeExists
	case gozk.ErrBadVersion:
		return zk.ErrBadVersion
	case gozk.ErrNotEmpty:
		return zk.ErrNotEmpty
	}
	return err
}
