package integration

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/highlander-go/highlander"
	"github.com/highlander-go/highlander/integration/faults"
	"github.com/highlander-go/highlander/integration/servers"
	"github.com/highlander-go/highlander/internal/zk/zkserver"
	"github.com/highlander-go/highlander/persist"
)

// A harm is what a fault has done.
type harm struct {
	outage *outage       // that may follow from it; nil: that of the cells whose requests are hit
	lasts  time.Duration // until it is mended
	mend   func() (times int, err error)
}

// A fault does harm for the i-th time. times, in what it returns, is how often the fault has really happened.
type fault func(x *torture, i int) (*harm, error)

// tortures are the faults by their names. Each function is called by one goroutine at a time.
var tortures = map[string]fault{
	"kill":        kill,
	"freeze":      freeze,
	"partition":   cutSomething,
	"expiry":      expire,
	"zk-kill":     killLeader,
	"zk-pause":    pauseLeader,
	"zk-rolling":  restartServers,
	"zk-outage":   func(x *torture, i int) (*harm, error) { return outageOf(x, time.Minute) },
	"zk-blackout": func(x *torture, i int) (*harm, error) { return outageOf(x, 8*time.Second) },
	"zk-cut":      cutFollower,
	"zk-pings":    losePings,
	"zk-wipe":     wipe,

	"s3-lost":     onStore(faults.StoreFault{Method: http.MethodPut, Chance: 0.2, Reset: true}),
	"s3-late":     onStore(faults.StoreFault{Method: http.MethodPut, Chance: 0.1, Lateness: func() time.Duration { return time.Second + rand.N(29*time.Second) }}),
	"s3-conflict": onStore(faults.StoreFault{Method: http.MethodPut, Chance: 0.2, Unsent: true, Status: http.StatusConflict}),
	"s3-reset":    onStore(faults.StoreFault{Chance: 0.2, Unsent: true, Reset: true}),
	"s3-busy":     onStore(faults.StoreFault{Unsent: true, Status: http.StatusServiceUnavailable}),
	"s3-limit":    onStore(faults.StoreFault{Spare: 50, Unsent: true, Status: http.StatusServiceUnavailable}),
	"s3-slow":     onStore(faults.StoreFault{Lateness: slowness}),
}

// What goes on at the same time in a mix: one fault of each of these at a time.
var mixed = [][]string{
	{"kill", "freeze", "partition", "partition"},
	{"zk-kill", "zk-pause", "zk-rolling", "zk-cut", "zk-pings", "zk-blackout"},
	{"s3-lost", "s3-late", "s3-conflict", "s3-reset", "s3-busy", "s3-limit", "s3-slow"},
}

// slowness is 30 ms in the middle, and more than 150 ms once in a hundred times.
func slowness() time.Duration {
	return time.Duration(30 * math.Exp(rand.NormFloat64()*math.Log(150.0/30)/2.326) * float64(time.Millisecond))
}

// onStore is a fault of the store, for some seconds at a time. It is counted by the requests that it hits.
func onStore(f faults.StoreFault) fault {
	return func(x *torture, i int) (*harm, error) {
		f := f
		f.Key = x.root + "/o/cell/"
		f.Hit = func(path string) {
			if key, err := persist.ParseBlobName(strings.TrimPrefix(path, x.bucket()+"/")); err == nil {
				x.load.struck(key.ID)
			}
		}
		rule := x.proxy.Add(f)
		return &harm{lasts: time.Second + rand.N(3*time.Second), mend: func() (int, error) {
			rule.Remove()
			return rule.Hits(), nil
		}}, nil
	}
}

// kill kills the busiest node, or any, and starts it again: at once, so that it proves that its predecessor is dead, or when others have taken over.
func kill(x *torture, i int) (*harm, error) {
	victim := x.victim(i)
	h := &harm{outage: x.load.suffer(victim), mend: func() (int, error) { return 1, victim.Start(x.ctx) }}
	if i%4 >= 2 {
		h.lasts = rand.N(takeover)
	}
	return h, x.until("a node is killed", func() error { return victim.Kill(x.ctx) }) // it may be on its way up
}

// victim is every second time the busiest node, else any.
func (x *torture) victim(i int) *app {
	if i%2 == 0 {
		return x.busiest()
	}
	return x.apps[rand.N(len(x.apps))]
}

// freeze freezes a node until others have taken over, every second time during a PUT, which lands later.
func freeze(x *torture, i int) (*harm, error) {
	victim, held := x.victim(i/2), 1
	if i%2 == 1 {
		rule := x.proxy.Add(faults.StoreFault{Method: http.MethodPut, Key: x.root + "/o/cell/", From: victim.addr.String(), Times: 1, Late: 3*time.Second + rand.N(2*takeover)})
		for end := time.Now().Add(3 * time.Second); rule.Hits() == 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		rule.Remove()
		held = rule.Hits() // 0: it owns nothing that is written
	}
	h := &harm{outage: x.load.suffer(victim), lasts: takeover + rand.N(2*time.Second)}
	thaw, err := x.freeze(victim.Container)
	h.mend = func() (int, error) { return held, thaw() }
	return h, err
}

// cutSomething cuts a node off from something, one or both ways, for a moment or until others have taken over.
func cutSomething(x *torture, i int) (*harm, error) {
	victim := x.victim(i)
	peers := x.others(victim)
	var ensemble []netip.Addr
	for i := range x.zooKeeper.Servers {
		ensemble = append(ensemble, x.zooKeeper.Private(i))
	}
	rules := func(rule func(netip.Addr) []string, addrs ...netip.Addr) (all []string) {
		for _, addr := range addrs {
			all = append(all, rule(addr)...)
		}
		return all
	}
	one := func(rule func(netip.Addr) string) func(netip.Addr) []string {
		return func(a netip.Addr) []string { return []string{rule(a)} }
	}
	store := []string{fmt.Sprintf("INPUT -p tcp -s %v --sport %d", x.proxyAddr.Addr(), x.proxyAddr.Port()),
		fmt.Sprintf("OUTPUT -p tcp -d %v --dport %d", x.proxyAddr.Addr(), x.proxyAddr.Port())}
	kinds := [][]string{
		rules(both, ensemble...), store, rules(both, peers...),
		rules(one(from), ensemble...), store[:1], rules(one(from), peers...),
		rules(one(to), ensemble...), store[1:], rules(one(to), peers...),
		rules(both, peers[0]), append(rules(both, ensemble...), store...),
	}
	h := &harm{outage: x.load.suffer(victim), lasts: time.Second + rand.N(2*time.Second)}
	if i/len(kinds)%2 == 0 {
		h.lasts = takeover + rand.N(2*time.Second)
	}
	p, err := x.cutOff(victim.Container, kinds[i%len(kinds)]...)
	h.mend = func() (int, error) {
		dropped, err := p.mend()
		return min(dropped, 1), err
	}
	return h, err
}

// expire fills a session with claims and ends it.
func expire(x *torture, i int) (*harm, error) {
	const full = 400 << 10 // bytes of paths, at least: a session is given no more when it has 512 KiB
	var session int64
	prefix := strings.Repeat("x", 200)
	if err := x.until("a session is full", func() error {
		for from := range 60 {
			url := fmt.Sprintf("http://%s/wake?prefix=%s-%d-%d-&n=100", x.apps[from%3].Addr(), prefix, i, from)
			if status, body, err := call(x.ctx, "", http.MethodPost, url, ""); err != nil || status != http.StatusOK {
				return fmt.Errorf("wake: %d %s: %w", status, body, err)
			}
		}
		all, err := x.sessions()
		if err != nil {
			return err
		}
		most := 0
		for id, paths := range all {
			if n := len(strings.Join(paths, "")); n > most {
				most, session = n, id
			}
		}
		if most < full {
			return fmt.Errorf("the fullest session has %d bytes of paths", most)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	h := &harm{outage: x.load.suffer(nil), mend: func() (int, error) { return 1, nil }}
	return h, zkserver.EndSession(x.ctx, x.zooKeeper.Addrs[0], session)
}

// leader is the server that leads, when there is one.
func (x *torture) leader() (i int, err error) {
	err = x.until("a ZooKeeper server leads", func() (err error) {
		i, err = x.zooKeeper.Leader()
		return err
	})
	return i, err
}

// onLeader is a fault of the leader that lasts until another one leads, and some time more.
func onLeader(x *torture, more time.Duration, begin, end func(*servers.Container, context.Context) error) (*harm, error) {
	leader, err := x.leader()
	if err != nil {
		return nil, err
	}
	h := &harm{outage: x.load.suffer(nil), lasts: more, mend: func() (int, error) {
		err := end(x.zooKeeper.Servers[leader], x.ctx)
		return 1, errors.Join(err, x.zooKeeper.AwaitAll(x.ctx))
	}}
	if err := begin(x.zooKeeper.Servers[leader], x.ctx); err != nil {
		return nil, err
	}
	return h, x.until("another server leads", func() error {
		now, err := x.zooKeeper.Leader()
		if err == nil && now == leader {
			err = errors.New("it is the same")
		}
		return err
	})
}

func killLeader(x *torture, _ int) (*harm, error) {
	return onLeader(x, rand.N(3*time.Second), (*servers.Container).Kill, (*servers.Container).Start)
}

func pauseLeader(x *torture, _ int) (*harm, error) {
	return onLeader(x, rand.N(3*time.Second), (*servers.Container).Pause, (*servers.Container).Unpause)
}

func restartServers(x *torture, _ int) (*harm, error) {
	h := &harm{outage: x.load.suffer(nil), mend: func() (int, error) { return 1, nil }}
	for _, s := range x.zooKeeper.Servers {
		if err := errors.Join(s.Stop(x.ctx), s.Start(x.ctx), x.zooKeeper.AwaitAll(x.ctx)); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// each calls do for all ZooKeeper servers at the same time.
func (x *torture) each(do func(*servers.Container) error) error {
	failed := make([]error, len(x.zooKeeper.Servers))
	var all sync.WaitGroup
	for i, s := range x.zooKeeper.Servers {
		all.Go(func() { failed[i] = do(s) })
	}
	all.Wait()
	return errors.Join(failed...)
}

func (x *torture) killServers() error {
	return x.each(func(s *servers.Container) error { return s.Kill(x.ctx) })
}

func (x *torture) startServers() error {
	err := x.each(func(s *servers.Container) error { return s.Start(x.ctx) })
	return errors.Join(err, x.zooKeeper.AwaitAll(x.ctx))
}

func outageOf(x *torture, lasts time.Duration) (*harm, error) {
	h := &harm{outage: x.load.suffer(nil), lasts: lasts, mend: func() (int, error) { return 1, x.startServers() }}
	return h, x.killServers()
}

// cutFollower cuts a follower off from its leader, the one with most clients.
func cutFollower(x *torture, _ int) (*harm, error) {
	leader, err := x.leader()
	if err != nil {
		return nil, err
	}
	follower, most := -1, 0
	for i, addr := range x.zooKeeper.Addrs {
		answer, err := zkserver.Ask(addr, "cons") // a line for each
		if n := strings.Count(answer, "sid=0x"); err == nil && i != leader && n > most {
			follower, most = i, n
		}
	}
	if follower < 0 { // all nodes are with the leader: there is nothing to cut
		return &harm{outage: x.load.suffer(nil), mend: func() (int, error) { return 0, nil }}, nil
	}
	h := &harm{outage: x.load.suffer(nil), lasts: takeover}
	p, err := x.cutOff(x.zooKeeper.Servers[follower], both(x.zooKeeper.Private(leader))...)
	h.mend = func() (int, error) {
		dropped, err := p.mend()
		return min(dropped, 1), errors.Join(err, x.zooKeeper.AwaitAll(x.ctx))
	}
	return h, err
}

// losePings has followers get all from the leader but its pings, so that they do not tell which sessions they hear of. It has happened when sessions have ended of it.
// The followers are made to connect by way of proxies, whoever leads then, and two of the nodes to connect to them, before pings are lost for as long as sessions live, and longer.
func losePings(x *torture, i int) (*harm, error) {
	var undo []func() error
	var before map[int64][]string // sessions
	rule := func(c *servers.Container, format string, args ...any) error {
		pid, err := x.pid(c)
		if err != nil {
			return err
		}
		undo = append(undo, func() error {
			_, err := inside(pid, fmt.Sprintf("iptables -w "+format, append([]any{"-D"}, args...)...))
			return err
		})
		_, err = inside(pid, fmt.Sprintf("iptables -w "+format, append([]any{"-I"}, args...)...))
		return err
	}
	var proxies []*faults.Quorum
	sum := func(of func(*faults.Quorum) int) (n int) {
		for _, p := range proxies {
			n += of(p)
		}
		return n
	}
	h := &harm{outage: x.load.suffer(nil), lasts: takeover + 2*time.Second}
	h.mend = func() (int, error) {
		after, err := x.allSessions()
		for _, p := range proxies {
			p.Close()
		}
		ended := 0
		for id := range before {
			if after[id] == nil {
				ended++
			}
		}
		for _, u := range undo {
			err = errors.Join(err, u())
		}
		return min(sum((*faults.Quorum).Lost), ended, 1), errors.Join(err, x.zooKeeper.AwaitAll(x.ctx))
	}
	for leader := range x.zooKeeper.Servers {
		addr := x.zooKeeper.Private(leader)
		proxy, err := faults.NewQuorum(netip.AddrPortFrom(x.zooKeeper.Gateway(), 0).String(), netip.AddrPortFrom(addr, 2888).String())
		if err != nil {
			return h, err
		}
		proxies = append(proxies, proxy)
		for i, s := range x.zooKeeper.Servers {
			if i != leader {
				err = errors.Join(err, rule(s, "-t nat %s OUTPUT -p tcp -d %v --dport 2888 -j DNAT --to-destination %s", addr, proxy.Addr()),
					rule(s, "%s OUTPUT -p tcp -d %v --dport 2888 -j REJECT --reject-with tcp-reset", addr)) // connections that there are
			}
		}
		if err != nil {
			return h, err
		}
	}
	err := x.until("the followers are connected by way of the proxies", func() error {
		if n := sum((*faults.Quorum).Followers); n < len(x.zooKeeper.Servers)-1 {
			return fmt.Errorf("%d are", n)
		}
		return x.zooKeeper.AwaitAll(x.ctx)
	})
	leader, failed := x.leader()
	if err = errors.Join(err, failed); err != nil {
		return h, err
	}
	addr := x.zooKeeper.Private(leader)
	for n, a := range x.apps {
		if n != i%len(x.apps) {
			err = errors.Join(err, rule(a.Container, "%s OUTPUT -p tcp -d %v --dport 2181 -j REJECT --reject-with tcp-reset", addr))
		}
	}
	if err = errors.Join(err, x.await()); err != nil {
		return h, err
	}
	for _, p := range proxies {
		p.LosePings(true)
	}
	before, err = x.allSessions()
	return h, err
}

// allSessions are those of the cluster, as the leader has them when there is one.
func (x *torture) allSessions() (all map[int64][]string, err error) {
	err = x.until("sessions are listed", func() (err error) {
		all, err = x.sessions()
		return err
	})
	return all, err
}

// wipe makes ZooKeeper lose all it has, and gives the store a new root, as an operator would: nodes are stopped, but for one, every second time, which is frozen and so forgotten.
func wipe(x *torture, i int) (*harm, error) {
	h := &harm{outage: x.load.suffer(nil)}
	stopped, thaw := x.apps, func() error { return nil }
	if i%2 == 1 {
		var err error
		if thaw, err = x.freeze(x.apps[0].Container); err != nil {
			return nil, err
		}
		stopped = x.apps[1:]
	}
	for _, a := range stopped {
		if err := a.Kill(x.ctx); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(x.killServers(), x.each(func(s *servers.Container) error {
		state, err := s.State(x.ctx)
		if err != nil {
			return err
		}
		return os.RemoveAll(filepath.Join(state.Data, "version-2"))
	}), x.startServers()); err != nil {
		return nil, err
	}
	if err := highlander.AdoptStore(x.ctx, highlander.Config{Registry: x.registry, Store: x.store}); err != nil {
		return nil, err
	}
	for _, a := range stopped {
		if err := a.Start(x.ctx); err != nil {
			return nil, err
		}
	}
	h.mend = func() (int, error) { return 1, thaw() }
	h.lasts = takeover
	return h, nil
}

// inject does harm again and again until a fault has happened count times, and not before end.
func (x *torture) inject(pick func(i int) string, count int, end time.Time) error {
	calls := make(map[string]int)
	for i, times := 0, 0; x.ctx.Err() == nil && !x.Failed() && (times < count || time.Now().Before(end)); i++ {
		name := pick(i)
		if err := x.load.progress(10 * cellsAtOnce); err != nil {
			return fmt.Errorf("before %s: %w", name, err)
		}
		h, err := tortures[name](x, calls[name])
		calls[name]++
		if err != nil {
			if h != nil && h.mend != nil {
				_, failed := h.mend()
				err = errors.Join(err, failed)
			}
			return fmt.Errorf("%s: %w", name, err)
		}
		select {
		case <-time.After(h.lasts):
		case <-x.ctx.Done():
		}
		n, err := h.mend()
		if err == nil && h.outage != nil {
			if err = x.await(); err == nil {
				err = x.load.recovered(h.outage)
			}
		} else if err == nil {
			err = x.load.rewritten()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		times += n
		if (i+1)%50 == 0 {
			x.Logf("%s: %d times so far", name, times)
		}
		x.mu.Lock()
		x.done[name] += n
		x.mu.Unlock()
	}
	return nil
}

// injectAll injects a fault, or a mix.
func (x *torture) injectAll(name string, count int, end time.Time) error {
	if name != "mix" {
		return x.inject(func(int) string { return name }, count, end)
	}
	failed := make([]error, len(mixed))
	var all sync.WaitGroup
	for i, names := range mixed {
		all.Go(func() {
			var order []string // each in its turn, in an order that differs
			failed[i] = x.inject(func(int) string {
				if len(order) == 0 {
					order = slices.Clone(names)
					rand.Shuffle(len(order), func(a, b int) { order[a], order[b] = order[b], order[a] })
				}
				name := order[0]
				order = order[1:]
				return name
			}, 0, end)
		})
	}
	all.Wait()
	return errors.Join(failed...)
}
