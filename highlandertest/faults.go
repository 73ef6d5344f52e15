package highlandertest

import "github.com/google/uuid"

// What nodes reach besides each other, for [Cluster.Partition] and [Cluster.Cut].
const (
	Registry = -1
	Store    = -2
)

// Kill ends the node as kill -9 ends a process: nobody is told. Others find its connections reset and its address refusing them; its sessions in the registry live on
// until somebody suspects it or they time out, and who claims its objects waits for its lease. What it had sent to the store takes effect, or not, as the store has decided.
// Calls that were made through it end with an error, and later ones with one that matches [object.ErrClosed] and names the node. Methods that do not heed their contexts are waited for, up to 10 s.
func (c *Cluster) Kill(place int) {
	c.t.Helper()
	c.mustLive(place)
	at := c.at(place)
	at.process.kill()
	c.network.kill(place)
	c.tellRegistry()
	at.process.thaw()
	if c.registry == nil { // it takes some seconds to find out that it cannot say farewell
		c.running.Go(func() { at.node.Close() })
		return
	}
	at.node.Close()
}

// Pause does to the node what SIGSTOP does to a process, as far as that can be done to a part of one. Nothing that it sends to other nodes, the registry and the store arrives, and it takes in nothing;
// connections to it are still accepted, as by a kernel. Nothing is answered out of its memory: calls of its objects that are made through it wait, whatever their contexts
// say, and those who hold an answer in their hands already give it after [Cluster.Resume] if its lease still holds then. Its requests to the store have no time limit meanwhile.
//
// What goes on: methods that run, until they call something; timers, of the node and of the application, so that time does not jump for it; and calls through it of objects
// that live elsewhere can give up, as their contexts say. With a registry on ZooKeeper its memory answers as long as its lease holds.
// A paused node can be killed; draining or closing it waits for its Resume.
func (c *Cluster) Pause(place int) {
	c.t.Helper()
	c.mustLive(place)
	if c.at(place).process.isFrozen() {
		c.t.Fatalf("highlandertest: node %d is paused already: Resume it first", place)
	}
	c.network.change(func() { c.network.frozen[place] = true })
	c.tellRegistry() // before its clock stops: the registry asks that, too
	c.at(place).process.freeze()
}

// Resume has a paused node go on.
func (c *Cluster) Resume(place int) {
	c.t.Helper()
	c.mustLive(place)
	if !c.at(place).process.isFrozen() {
		c.t.Fatalf("highlandertest: node %d is not paused: Pause it first", place)
	}
	c.at(place).process.thaw()
	c.network.change(func() { delete(c.network.frozen, place) })
	c.tellRegistry()
}

// Expire has the registry declare the node's sessions lost. The node is told, lets all its objects go and joins again: anybody may own them next. While it cannot be told, who
// claims one of them waits for its lease. It cannot be done to nodes on ZooKeeper: cut one off from the [Registry] for longer than its session timeout.
func (c *Cluster) Expire(place int) {
	c.t.Helper()
	c.mustLive(place)
	if c.registry == nil {
		c.t.Fatalf("highlandertest: Expire needs the registry in memory, %s expires sessions by itself: Partition(%d, highlandertest.Registry) for longer than the session timeout",
			c.options.Config.Registry, place)
	}
	c.registry.Expire(c.at(place).process.who())
}

// Partition has nothing pass between two places, a node and [Registry] or [Store] among them, until [Cluster.Heal]. Connections do not end by that: what is sent
// waits, and arrives late if the partition is healed before somebody gives up. Requests to the store are given up after 5 s.
func (c *Cluster) Partition(a, b int) {
	c.t.Helper()
	c.partition([2]int{a, b}, [2]int{b, a})
}

// Cut is [Cluster.Partition] one way: what the first place sends does not arrive at the second one. With Cut(Store, 0) the PUTs of node 0 take effect, and it does not learn of it.
// The registry in memory cannot be cut off from a node that is not cut off from it, Cut(Registry, 0).
func (c *Cluster) Cut(from, to int) {
	c.t.Helper()
	if from == Registry && c.registry != nil {
		c.t.Fatalf("highlandertest: Cut(highlandertest.Registry, %d): the registry in memory knows no answers that are lost: Cut(%d, highlandertest.Registry)", to, to)
	}
	c.partition([2]int{from, to})
}

func (c *Cluster) partition(ways ...[2]int) {
	c.t.Helper()
	nodes := 0
	for _, place := range ways[0] {
		if place != Registry && place != Store {
			c.at(place)
			nodes++
		}
	}
	if nodes == 0 || ways[0][0] == ways[0][1] {
		c.t.Fatalf("highlandertest: nothing passes from place %d to place %d that could be cut", ways[0][0], ways[0][1])
	}
	c.network.change(func() {
		for _, way := range ways {
			c.network.cut[way] = true
		}
	})
	c.tellRegistry()
}

// Heal ends all partitions.
func (c *Cluster) Heal() {
	c.network.change(func() { clear(c.network.cut) })
	c.tellRegistry()
}

// mustLive ends the test if the node was killed.
func (c *Cluster) mustLive(place int) {
	c.t.Helper()
	if c.at(place).process.isKilled() {
		c.t.Fatalf("highlandertest: node %d was killed: Restart it first", place)
	}
}

// tellRegistry has the registry in memory do what the faults say.
func (c *Cluster) tellRegistry() {
	if c.registry == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.processes {
		switch who := p.who(); {
		case who == uuid.Nil: // it has not joined
		case p.isKilled():
			c.registry.Kill(who)
		case c.network.isHeld(p.place, Registry):
			c.registry.Disconnect(who)
		default:
			c.registry.Reconnect(who)
		}
	}
}
