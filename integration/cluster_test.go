package integration

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/integration/faults"
	"github.com/highlander-go/highlander/integration/servers"
	"github.com/highlander-go/highlander/internal/zk/zkserver"
)

// A place is what a cluster is: a root in ZooKeeper and a prefix in S3.
type place struct {
	zooKeeper *servers.ZooKeeper
	root      string
	registry  string // URL
	store     string // URL
}

// newPlace returns one that nobody has used yet, with S3 behind the endpoint given; empty: S3 itself.
func newPlace(t *testing.T, endpoint string) place {
	t.Helper()
	z, s, id := zooKeeper(t), s3(t), uuid.NewString()
	if endpoint == "" {
		endpoint = s.Endpoint
	}
	return place{z, "/" + id, "zk://" + strings.Join(z.Addrs, ",") + "/" + id, s.URL(id, endpoint)}
}

// node returns a node of the cluster, not started yet.
func (p place) node(t *testing.T, name string, args ...string) *node {
	t.Helper()
	return newNode(t, name, append([]string{"-registry", p.registry, "-store", p.store, "-listen", freeAddr(t)}, args...)...)
}

// wired returns a node that reaches ZooKeeper and S3, and is reached by the others, over links only.
func (p place) wired(t *testing.T, name string, args ...string) (*node, []*faults.Link) {
	t.Helper()
	var links []*faults.Link
	link := func(target string) string {
		l, err := faults.NewLink(target)
		must(t, err)
		t.Cleanup(l.Close)
		links = append(links, l)
		return l.Addr()
	}
	var addrs []string
	for _, addr := range p.zooKeeper.Addrs {
		addrs = append(addrs, link(addr))
	}
	s, listen := s3(t), freeAddr(t)
	store := s.URL(p.root[1:], "http://"+link(strings.TrimPrefix(s.Endpoint, "http://")))
	return p.node(t, name, append([]string{"-registry", "zk://" + strings.Join(addrs, ",") + p.root, "-store", store,
		"-listen", listen, "-advertise", link(listen)}, args...)...), links
}

// cut has nothing go over the links any more, and mend everything.
func cut(links []*faults.Link) {
	for _, l := range links {
		l.Set(faults.LinkFaults{ToServer: faults.Direction{Drop: true}, ToClient: faults.Direction{Drop: true}})
	}
}

func mend(links []*faults.Link) {
	for _, l := range links {
		l.Set(faults.LinkFaults{})
	}
}

// start starts three nodes.
func (p place) start(t *testing.T, args ...string) []*node {
	t.Helper()
	var nodes []*node
	for i := range 3 {
		nodes = append(nodes, p.node(t, fmt.Sprint("n", i+1), args...))
		nodes[i].launch()
	}
	for _, n := range nodes {
		n.await()
	}
	return nodes
}

// sessions returns the ephemeral nodes of the cluster by their sessions, as the leader has them: claims, and what nodes live by.
func (p place) sessions() (map[int64][]string, error) {
	leader, err := p.zooKeeper.Leader()
	if err != nil {
		return nil, err
	}
	dump, err := zkserver.Ask(p.zooKeeper.Addrs[leader], "dump") // sessions, each followed by its ephemeral nodes
	if err != nil {
		return nil, err
	}
	all := make(map[int64][]string)
	var session int64
	for line := range strings.Lines(dump) {
		line = strings.TrimSpace(line)
		if hex, ok := strings.CutPrefix(strings.TrimSuffix(line, ":"), "0x"); ok {
			n, err := strconv.ParseUint(hex, 16, 64)
			if err != nil {
				return nil, err
			}
			session = int64(n)
		}
		if strings.HasPrefix(line, p.root+"/") {
			all[session] = append(all[session], line)
		}
	}
	return all, nil
}

// liveSession returns the ZooKeeper session that an incarnation lives by.
func (p place) liveSession(incarnation string) (id int64, err error) {
	if incarnation == "" {
		return 0, errors.New("nobody owns it")
	}
	all, err := p.sessions()
	if err != nil {
		return 0, err
	}
	for id, paths := range all {
		for _, path := range paths {
			if strings.HasPrefix(path, p.root+"/live/"+incarnation) {
				return id, nil
			}
		}
	}
	return 0, fmt.Errorf("no session has a node %s/live/%s", p.root, incarnation)
}

// remember notes the sessions by which the owners of the counters live. The function that it returns checks that they are the same.
func (p place) remember(t *testing.T, ask *node, ids []string) (unchanged func()) {
	t.Helper()
	before := make(map[string]int64) // by incarnation
	for _, id := range ids {
		incarnation := ask.owner(id).Incarnation
		session, err := p.liveSession(incarnation)
		must(t, err)
		before[incarnation] = session
	}
	return func() {
		t.Helper()
		for incarnation, session := range before {
			if now, err := p.liveSession(incarnation); now != session || err != nil {
				t.Errorf("incarnation %s lived by session %#x, and now by %#x, %v", incarnation, session, now, err)
			}
		}
	}
}

// owned returns the node that owns a counter, after it has been added to once, another node, and the ownership.
func owned(t *testing.T, nodes []*node, id string) (owner, other *node, o ownership) {
	t.Helper()
	nodes[0].add(id, 1)
	o = nodes[0].owner(id)
	for _, n := range nodes {
		if n.name == o.Node {
			owner = n
		} else {
			other = n
		}
	}
	if owner == nil {
		t.Fatalf("%s is at %+v", id, o)
	}
	return owner, other, o
}

// long is a duration of tests under load: short as a part of make test.
func long(t *testing.T, otherwise time.Duration) time.Duration {
	t.Helper()
	set := os.Getenv("HIGHLANDER_DURATION")
	if set == "" {
		return otherwise
	}
	d, err := time.ParseDuration(set)
	must(t, err)
	return d
}

// count is how often something is done, or of how many objects: few as a part of make test.
func count(t *testing.T, otherwise int) int {
	t.Helper()
	set := os.Getenv("HIGHLANDER_COUNT")
	if set == "" {
		return otherwise
	}
	n, err := strconv.Atoi(set)
	must(t, err)
	return n
}

func TestEveryNodeReachesEveryObject(t *testing.T) {
	nodes := newPlace(t, "").start(t)
	owners := make(map[string]bool)
	for i := range 30 {
		id := fmt.Sprint("c", i)
		for _, n := range nodes {
			n.add(id, 1)
		}
		first := nodes[0].owner(id)
		owners[first.Node] = true
		for _, n := range nodes {
			if value := n.value(id); value != 3 {
				t.Errorf("%s is %d when %s is asked, want 3", id, value, n.name)
			}
			eventually(t, time.Minute, "all say the same", func() error {
				if o, err := n.where(id); o != first || err != nil {
					return fmt.Errorf("%s is at %+v, %v when %s is asked, and at %+v when n1 is", id, o, err, n.name, first)
				}
				return nil
			})
		}
	}
	if len(owners) != len(nodes) {
		t.Errorf("30 objects are all at %v", owners)
	}
}

// kill -9 of the node that owns most, up to six times, and it comes back each time.
func TestKilledOwnersLoseNothing(t *testing.T) {
	nodes := newPlace(t, "").start(t)
	l := startLoad(t, nodes, 200)
	took := long(t, 10*time.Second)
	for began, end := time.Now(), time.Now().Add(took); time.Now().Before(end); time.Sleep(time.Until(began)) {
		began = began.Add(took / 6)
		l.progress(500)
		victim := l.busiest()
		victim.kill()
		l.progress(500)
		victim.start()
	}
	l.check()
}

func TestRollingRestartIsNotNoticed(t *testing.T) {
	nodes := newPlace(t, "").start(t)
	l := startLoad(t, nodes, 200)
	for i, end := 0, time.Now().Add(long(t, 0)); i < len(nodes) || time.Now().Before(end); i++ {
		l.progress(500)
		n := l.nodes[i%len(nodes)]
		n.closed(func() { // as a load balancer does; calls between the nodes go on
			n.stop()
			n.start()
		})
	}
	l.progress(500)
	l.check()
	if n := l.unknown(); n > 0 {
		t.Errorf("%d outcomes are unknown", n)
	}
}

func TestExpiredSessionIsTornDownAndComesBack(t *testing.T) {
	p := newPlace(t, "")
	nodes := p.start(t)
	owner, other, before := owned(t, nodes, "c")
	session, err := p.liveSession(before.Incarnation)
	must(t, err)
	must(t, zkserver.EndSession(within(t, 10*time.Second), p.zooKeeper.Addrs[0], session))
	for _, n := range []*node{other, owner} {
		eventually(t, time.Minute, "the counter is served again", func() error {
			value, err := n.tryValue("c")
			if err == nil && value != 1 {
				t.Fatalf("%s says %d, want 1", n.name, value)
			}
			return err
		})
	}
	eventually(t, time.Minute, "the node is back, by another session", func() error {
		now, err := p.liveSession(before.Incarnation)
		if err == nil && now == session {
			err = errors.New("the session is alive")
		}
		return err
	})
	owner.await()
	if value := owner.add("c", 1); value != 2 {
		t.Errorf("after the session ended the counter is %d, want 2", value)
	}
}

// A frozen owner wakes up long after others have taken over: it neither answers from what it remembers nor overwrites what is newer.
func TestFrozenOwnerNeitherAnswersNorOverwrites(t *testing.T) {
	p := newPlace(t, "")
	nodes := p.start(t)
	owner, other, before := owned(t, nodes, "c")
	owner.pause()
	read, added := make(chan int64, 1), make(chan error, 1)
	go func() { // waits in the frozen process's socket
		value, err := owner.tryValue("c")
		if err != nil {
			value = -1
		}
		read <- value
	}()
	eventually(t, time.Minute, "another node takes over", func() error {
		_, err := other.tryAdd("c", 1)
		return err
	})
	newest := other.value("c") // an add whose answer was lost counts too
	eventually(t, time.Minute, "the frozen node's session is over", func() error {
		if _, err := p.liveSession(before.Incarnation); err == nil {
			return errors.New("it is alive")
		}
		return nil
	})
	go func() { _, err := owner.tryAdd("c", 100); added <- err }()
	select {
	case value := <-read:
		t.Fatalf("the node answers %d while it is frozen: it was not", value)
	default:
	}
	owner.resume()
	if value := <-read; value != -1 && value < newest {
		t.Errorf("the node that was frozen answers %d, after %d was acknowledged", value, newest)
	}
	want := newest
	if err := <-added; err == nil {
		want += 100
	}
	eventually(t, time.Minute, "the node that was frozen serves again", func() error {
		value, err := owner.tryValue("c")
		if err == nil && (value < newest || value > newest+100) {
			t.Fatalf("the node that was frozen answers %d, want %d", value, want)
		}
		return err
	})
	if value := other.value("c"); value < want {
		t.Errorf("the counter is %d, want %d", value, want)
	}
}

// With a lease of 20 s, a successor that waited for it would not answer within the 10 s that the service gives a call.
func TestDrainHandsOverWithoutAWait(t *testing.T) {
	p := newPlace(t, "")
	p.registry += "?session_timeout=60s"
	nodes := p.start(t, "-lease", "20s")
	owner, other, _ := owned(t, nodes, "c")
	owner.stop()
	if value := other.add("c", 1); value != 2 {
		t.Errorf("the counter is %d, want 2", value)
	}
}

func TestZooKeeperRestartsUnnoticed(t *testing.T) {
	p := newPlace(t, "")
	containers := own(t, p.zooKeeper)
	nodes := p.start(t)
	l := startLoad(t, nodes, 20)
	l.progress(200)
	unchanged := p.remember(t, nodes[0], l.ids)
	for _, c := range containers {
		must(t, c.Stop(t.Context()))
		must(t, c.Start(t.Context()))
		must(t, p.zooKeeper.AwaitAll(t.Context()))
		l.progress(200)
	}
	l.check()
	unchanged()
}

// An owner that ZooKeeper does not hear of any more stops to answer, others go on, and it comes back when it is heard again.
func TestOwnerCutOffFromZooKeeper(t *testing.T) {
	p := newPlace(t, "")
	var links []*faults.Link
	var addrs []string
	for _, addr := range p.zooKeeper.Addrs {
		link, err := faults.NewLink(addr)
		must(t, err)
		t.Cleanup(link.Close)
		links, addrs = append(links, link), append(addrs, link.Addr())
	}
	cut := p
	cut.registry = "zk://" + strings.Join(addrs, ",") + p.root
	owner, other := cut.node(t, "cut"), p.node(t, "other")
	owner.start()
	owner.add("c", 1) // nobody else is there yet
	other.start()
	other.add("c", 1)

	for _, link := range links {
		link.Set(faults.LinkFaults{ToServer: faults.Direction{Drop: true}, ToClient: faults.Direction{Drop: true}})
	}
	eventually(t, time.Minute, "another node takes over", func() error {
		o, err := other.where("c")
		if err == nil && o.Node != other.name {
			err = fmt.Errorf("it is at %+v", o)
		}
		if _, failed := other.tryAdd("c", 1); err == nil {
			err = failed
		}
		return err
	})
	newest := other.value("c")
	if value, err := owner.tryValue("c"); err == nil && value < newest {
		t.Errorf("the node that is cut off answers %d, after %d was acknowledged", value, newest)
	}
	for _, link := range links {
		link.Set(faults.LinkFaults{})
	}
	eventually(t, time.Minute, "the node that was cut off is back", func() error {
		value, err := owner.tryValue("c")
		if err == nil && value < newest {
			t.Fatalf("the node that was cut off answers %d, after %d was acknowledged", value, newest)
		}
		return err
	})
}

// Calls between nodes stop for a second, again and again: nobody who renews its lease in time is taken for gone.
func TestFreezesBetweenNodesEvictNobody(t *testing.T) {
	p := newPlace(t, "")
	var nodes []*node
	var links []*faults.Link
	for i := range 3 {
		listen := freeAddr(t)
		link, err := faults.NewLink(listen)
		must(t, err)
		t.Cleanup(link.Close)
		links = append(links, link)
		nodes = append(nodes, p.node(t, fmt.Sprint("n", i+1), "-listen", listen, "-advertise", link.Addr()))
		nodes[i].start()
	}
	l := startLoad(t, nodes, 30)
	l.progress(200)
	unchanged := p.remember(t, nodes[0], l.ids)
	for end := time.Now().Add(long(t, 5*time.Second)); time.Now().Before(end); {
		for _, link := range links {
			link.Set(faults.LinkFaults{ToServer: faults.Direction{Hold: true}, ToClient: faults.Direction{Hold: true}})
		}
		time.Sleep(time.Second) // the freeze itself
		for _, link := range links {
			link.Set(faults.LinkFaults{})
		}
		l.progress(200)
	}
	l.check()
	unchanged()
}

// A write of an owner that was killed lands when its successor has loaded the object already.
func TestWriteThatLandsAfterItsOwnerIsGone(t *testing.T) {
	proxy, err := faults.NewStore(s3(t).Endpoint)
	must(t, err)
	t.Cleanup(proxy.Close)
	p := newPlace(t, proxy.URL())
	owner, other := p.node(t, "owner"), p.node(t, "other")
	owner.start()
	owner.add("c", 1)
	other.start()
	late := proxy.Add(faults.StoreFault{Method: "PUT", Times: 1, Late: 8 * time.Second})
	answered := make(chan error, 1)
	go func() { _, err := owner.tryAdd("c", 10); answered <- err }()
	eventually(t, time.Minute, "the write is on its way", func() error {
		if late.Hits() == 0 {
			return errors.New("it is not")
		}
		return nil
	})
	written := len(proxy.Puts())
	owner.kill()
	if err := <-answered; err == nil {
		t.Fatal("an add was acknowledged before it was written")
	}
	eventually(t, time.Minute, "the successor has loaded the object", func() error {
		value, err := other.tryValue("c")
		if err == nil && value != 1 && value != 11 {
			t.Fatalf("the counter is %d, want 1, or 11", value)
		}
		return err
	})
	eventually(t, time.Minute, "the late write lands", func() error {
		if len(proxy.Puts()) == written {
			return errors.New("it does not")
		}
		return nil
	})
	if value := other.add("c", 100); value != 111 {
		t.Errorf("the counter is %d, want 111: each add once", value)
	}
	if value := other.value("c"); value != 111 {
		t.Errorf("the counter is %d, want 111", value)
	}
}

// S3 commits, and nobody hears of it: what is in the record tells.
func TestLostAnswersOfS3(t *testing.T) {
	proxy, err := faults.NewStore(s3(t).Endpoint)
	must(t, err)
	t.Cleanup(proxy.Close)
	nodes := newPlace(t, proxy.URL()).start(t)
	lost := proxy.Add(faults.StoreFault{Method: "PUT", Chance: 0.3, Reset: true})
	late := proxy.Add(faults.StoreFault{Method: "PUT", Chance: 0.05, Late: 2 * time.Second})
	l := startLoad(t, nodes, 20)
	l.progress(500)
	lost.Remove()
	late.Remove()
	l.check()
	if lost.Hits() == 0 || late.Hits() == 0 {
		t.Errorf("%d answers were lost and %d late", lost.Hits(), late.Hits())
	}
	if n := l.unknown(); n > 0 {
		t.Errorf("%d outcomes are unknown", n)
	}
}

func TestTwoClustersOnOneBucketAreRefused(t *testing.T) {
	first := newPlace(t, "")
	first.node(t, "first").start()
	second := newPlace(t, "")
	second.store = first.store
	n := second.node(t, "second")
	n.launch()
	if status := n.wait(); status != 1 {
		t.Errorf("a cluster on the store of another one ends with status %d, want 1", status)
	}
	if !strings.Contains(n.logged(), "cluster") {
		t.Errorf("its log does not say why: %s", n.logged())
	}
}

func TestNodesThatCannotStartSayWhy(t *testing.T) {
	tests := map[string]struct {
		change func(*place)
		says   string
	}{
		"no ZooKeeper there":  {func(p *place) { p.registry = "zk://127.0.0.1:1/root" }, "127.0.0.1:1"},
		"no root":             {func(p *place) { p.registry = "zk://127.0.0.1:2181" }, "root"},
		"no such bucket":      {func(p *place) { p.store = strings.Replace(p.store, "s3://", "s3://no-", 1) }, "bucket"},
		"no S3 there":         {func(p *place) { p.store = "s3://bucket/p?path_style=true&region=us-east-1&endpoint=http://127.0.0.1:1" }, "127.0.0.1:1"},
		"an unknown registry": {func(p *place) { p.registry = "etcd://127.0.0.1/x" }, "etcd"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, "")
			test.change(&p)
			n := p.node(t, "n1")
			n.launch()
			if status := n.wait(); status != 1 {
				t.Errorf("status %d, want 1", status)
			}
			if log := n.logged(); !strings.Contains(log, test.says) {
				t.Errorf("the log does not speak of %q: %s", test.says, log)
			}
		})
	}
}

// Figures: how long an object is gone when its owner is killed, frozen or cut off, and when it is killed and started again with a state directory.
func TestFailover(t *testing.T) {
	type victim struct {
		*node
		links []*faults.Link
	}
	for name, test := range map[string]struct {
		rounds     int  // at most
		back       bool // it is the owner itself that serves again
		harm, heal func(victim)
	}{
		"killed":                         {rounds: 1000, harm: func(v victim) { v.kill() }, heal: func(v victim) { v.start() }},
		"killed and started with -state": {rounds: 1000, back: true, harm: func(v victim) { v.kill() }, heal: func(v victim) { v.start() }},
		"frozen":                         {rounds: 20, harm: func(v victim) { v.pause() }, heal: func(v victim) { v.resume() }},
		"cut off":                        {rounds: 20, harm: func(v victim) { cut(v.links) }, heal: func(v victim) { mend(v.links) }},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, "")
			var nodes []*node
			links := make(map[*node][]*faults.Link)
			for i := range 3 {
				var args []string
				if test.back {
					args = []string{"-state", t.TempDir()}
				}
				n, wires := p.wired(t, fmt.Sprint("n", i+1), args...)
				n.start()
				nodes, links[n] = append(nodes, n), wires
			}
			var took []time.Duration
			for i := range min(count(t, 2), test.rounds) {
				id := fmt.Sprint("c", i)
				owner, other, before := owned(t, nodes, id)
				session, err := p.liveSession(before.Incarnation)
				must(t, err)
				v := victim{owner, links[owner]}
				began, asked := time.Now(), other
				test.harm(v)
				if test.back {
					began, asked = time.Now(), owner
					test.heal(v)
				}
				// Several ask: one that is about to connect to a node which does not answer finds out later than the others that it is gone.
				answered := make(chan time.Duration, 3)
				for range cap(answered) {
					go func() {
						for end := began.Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
							value, err := asked.tryAdd(id, 1)
							if err == nil && value >= 2 || time.Now().After(end) {
								if err != nil || value < 2 {
									t.Errorf("%s is %d after two adds, %v", id, value, err)
								}
								answered <- time.Since(began)
								return
							}
						}
					}()
				}
				took = append(took, <-answered)
				for range cap(answered) - 1 {
					<-answered
				}
				if test.back {
					continue
				}
				o, err := other.where(id)
				must(t, err)
				now, err := p.liveSession(before.Incarnation)
				if o.Incarnation == before.Incarnation {
					t.Errorf("%s was answered after %v, and the node that was harmed still owns it, by session %#x, %v", id, took[i], now, err)
				} else if err == nil && now == session {
					t.Errorf("%s was taken over after %v from a node whose session %#x is alive", id, took[i], session)
				}
				test.heal(v)
				eventually(t, time.Minute, "the owner's session is over", func() error {
					if now, err := p.liveSession(before.Incarnation); err == nil && now == session {
						return errors.New("it is alive")
					}
					return nil
				})
				owner.await()
			}
			report(t, name, took)
		})
	}
}

// report logs how long something took.
func report(t *testing.T, what string, took []time.Duration) {
	t.Helper()
	slices.Sort(took)
	n := len(took)
	t.Logf("%s, %d times: half within %v, 99%% within %v, all within %v", what, n, took[n/2], took[n*99/100], took[n-1])
}
