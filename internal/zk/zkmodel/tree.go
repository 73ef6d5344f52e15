package zkmodel

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/highlander-go/highlander/internal/zk"
)

// A tree is a server's copy of the nodes (DataTree).
type tree struct {
	nodes      map[string]*node
	ephemerals map[int64]map[string]bool // the paths of each session's
}

type node struct {
	data      []byte
	version   int32
	created   int   // children ever made in it, which the next sequential one is numbered by. Deletions do not count
	owner     int64 // the session, if it is ephemeral
	container bool
	children  map[string]bool
}

// A change is a part of a transaction, with nothing left to decide.
type change struct {
	kind      zk.OpKind
	path      string
	data      []byte
	owner     int64
	container bool
}

func newTree() *tree {
	t := &tree{nodes: make(map[string]*node), ephemerals: make(map[int64]map[string]bool)}
	t.nodes["/"] = &node{children: make(map[string]bool)}
	return t
}

// prepare says which change op asks for, or why there is none (PrepRequestProcessor).
func (t *tree) prepare(op zk.Op, session int64) (change, error) {
	c := change{kind: op.Kind, path: op.Path, data: op.Data}
	parent, n := t.nodes[path.Dir(op.Path)], t.nodes[op.Path]
	switch op.Kind {
	case zk.OpCreate:
		c.container = op.Mode == zk.Container
		if op.Mode == zk.Ephemeral || op.Mode == zk.EphemeralSequential {
			c.owner = session
		}
		if parent == nil {
			return c, zk.ErrNoNode
		}
		if op.Mode == zk.EphemeralSequential {
			c.path += fmt.Sprintf("%010d", parent.created)
		}
		if t.nodes[c.path] != nil {
			return c, zk.ErrNodeExists
		}
		if parent.owner != 0 {
			return c, errNoChildren
		}
	case zk.OpDelete:
		switch {
		case n == nil:
			return c, zk.ErrNoNode
		case op.Version != zk.AnyVersion && op.Version != n.version:
			return c, zk.ErrBadVersion
		case len(n.children) > 0:
			return c, zk.ErrNotEmpty
		}
	case zk.OpSet:
		switch {
		case n == nil:
			return c, zk.ErrNoNode
		case op.Version != zk.AnyVersion && op.Version != n.version:
			return c, zk.ErrBadVersion
		}
	}
	return c, nil
}

// do makes a change, and returns what takes it back.
func (t *tree) do(c change) (undo func()) {
	name := path.Base(c.path)
	parent := t.nodes[path.Dir(c.path)]
	switch c.kind {
	case zk.OpCreate:
		n := &node{data: c.data, owner: c.owner, container: c.container, children: make(map[string]bool)}
		t.put(c.path, n)
		parent.children[name] = true
		parent.created++
		return func() {
			t.remove(c.path)
			delete(parent.children, name)
			parent.created--
		}
	case zk.OpDelete:
		n := t.remove(c.path)
		delete(parent.children, name)
		return func() {
			t.put(c.path, n)
			parent.children[name] = true
		}
	default:
		n := t.nodes[c.path]
		data, version := n.data, n.version
		n.data, n.version = c.data, n.version+1
		return func() { n.data, n.version = data, version }
	}
}

func (t *tree) put(path string, n *node) {
	t.nodes[path] = n
	if n.owner == 0 {
		return
	}
	if t.ephemerals[n.owner] == nil {
		t.ephemerals[n.owner] = make(map[string]bool)
	}
	t.ephemerals[n.owner][path] = true
}

func (t *tree) remove(path string) *node {
	n := t.nodes[path]
	delete(t.nodes, path)
	delete(t.ephemerals[n.owner], path)
	return n
}

// multi carries out all of ops or none of them, and returns the changes.
func (t *tree) multi(ops []zk.Op, session int64) ([]change, error) {
	var done []change
	var undo []func()
	for _, op := range ops {
		c, err := t.prepare(op, session)
		if err != nil {
			for _, u := range slices.Backward(undo) {
				u()
			}
			return nil, err
		}
		done = append(done, c)
		undo = append(undo, t.do(c))
	}
	return done, nil
}

// deletions are the ends of all of a session's ephemeral nodes.
func (t *tree) deletions(session int64) (ops []zk.Op) {
	for _, p := range slices.Sorted(maps.Keys(t.ephemerals[session])) {
		ops = append(ops, zk.DeleteOp(p, zk.AnyVersion))
	}
	return ops
}

// emptied lists the containers that had a child once and have none now (ContainerManager).
func (t *tree) emptied() (paths []string) {
	for p, n := range t.nodes {
		if n.container && n.created > 0 && len(n.children) == 0 {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	return paths
}

// checkPath is PathUtils.validatePath, which looks at UTF-16: neither private characters nor those beyond 16 bits may be in a path. A sequential node's
// path may end in a slash.
func checkPath(p string, sequential bool) error {
	if sequential {
		p += "0"
	}
	refused := func(r rune) bool { // utf8.RuneError among them
		return r < ' ' || r >= 0x7f && r <= 0x9f || r >= 0xd800 && r <= 0xf8ff || r >= 0xfff0
	}
	if !strings.HasPrefix(p, "/") || path.Clean(p) != p || strings.ContainsFunc(p, refused) {
		return fmt.Errorf("%w %q", errPath, p)
	}
	return nil
}

// checkOps refuses what real clients and servers refuse without looking at the tree.
func checkOps(ops []zk.Op, multi bool) error {
	for _, op := range ops {
		switch {
		case op.Kind < zk.OpCreate || op.Kind > zk.OpSet:
			return fmt.Errorf("zookeeper: no such operation: %d", op.Kind)
		case op.Kind == zk.OpCreate && (op.Mode < zk.Persistent || op.Mode > zk.Container || multi && op.Mode == zk.Container):
			return fmt.Errorf("%w: mode %d of %q", errMode, op.Mode, op.Path)
		case op.Path == "/" && op.Kind == zk.OpDelete:
			return fmt.Errorf("%w: the root cannot be deleted", errPath)
		}
		if err := checkPath(op.Path, op.Kind == zk.OpCreate && op.Mode == zk.EphemeralSequential); err != nil {
			return err
		}
	}
	return nil
}
