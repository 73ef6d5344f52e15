package zkmodel

import (
	"maps"
	"slices"
)

// A Node is one of the tree.
type Node struct {
	Path      string
	Data      string
	Owner     int64 // the session, if it is ephemeral
	Container bool
	Used      bool // it has had a child; ZooKeeper collects no container that never had one
}

// Nodes lists what the leader has, by path; nothing while there is none.
func (m *Model) Nodes() (all []Node) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leader == nil {
		return nil
	}
	tree := m.leader.tree.nodes
	for _, path := range slices.Sorted(maps.Keys(tree)) {
		n := tree[path]
		all = append(all, Node{Path: path, Data: string(n.data), Owner: n.owner, Container: n.container, Used: n.created > 0})
	}
	return all
}

// Watches are the paths that the servers watch for each session that the leader keeps. A session that watches nothing is listed, too.
func (m *Model) Watches() map[int64][]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make(map[int64][]string)
	for id := range m.sessions {
		all[id] = nil
	}
	for _, s := range m.servers {
		for _, c := range s.conns {
			if m.sessions[c.session] != nil {
				all[c.session] = append(all[c.session], slices.Sorted(maps.Keys(c.watches))...)
			}
		}
	}
	return all
}
