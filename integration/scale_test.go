package integration

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/integration/faults"
	"github.com/highlander-go/highlander/internal/zk/zkserver"
)

// counters returns so many ids of 36 bytes.
func counters(n int) (ids []string) {
	for range n {
		ids = append(ids, uuid.NewString())
	}
	return ids
}

// wake reads all counters through the node, again and again until it answers, and returns how long that took. Nobody has ever written them.
func wake(t *testing.T, n *node, ids []string) time.Duration {
	t.Helper()
	began, work := time.Now(), make(chan string)
	var readers sync.WaitGroup
	for range 64 {
		readers.Go(func() {
			for id := range work {
				for end := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
					value, err := n.tryValue(id)
					if err == nil && value == 0 {
						break
					}
					if time.Now().After(end) || value != 0 {
						t.Errorf("%s says that counter %s is %d, %v; want 0", n.name, id, value, err)
						break
					}
				}
			}
		})
	}
	for _, id := range ids {
		work <- id
	}
	close(work)
	readers.Wait()
	took := time.Since(began)
	t.Logf("%s woke %d objects in %v, %.0f/s", n.name, len(ids), took, float64(len(ids))/took.Seconds())
	return took
}

// figure asks a ZooKeeper server for one of the figures that its command mntr gives.
func figure(addr, name string) (int64, error) {
	said, err := zkserver.Ask(addr, "mntr")
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`(?m)^` + name + `\t(\d+)`).FindStringSubmatch(said)
	if found == nil {
		return 0, fmt.Errorf("%s has no %s: %s", addr, name, said)
	}
	return strconv.ParseInt(found[1], 10, 64)
}

// healthy notes who leads and since when each server has been up. The function that it returns checks that nothing has happened to them.
func (p place) healthy(t *testing.T) (still func()) {
	t.Helper()
	state := func() (leader int, since []time.Time) {
		leader, err := p.zooKeeper.Leader()
		must(t, err)
		for _, addr := range p.zooKeeper.Addrs {
			up, err := figure(addr, "zk_uptime")
			must(t, err)
			since = append(since, time.Now().Add(-time.Duration(up)*time.Millisecond))
		}
		return leader, since
	}
	before, since := state()
	return func() {
		t.Helper()
		now, later := state()
		if now != before {
			t.Errorf("ZooKeeper server %d led, and now %d does", before, now)
		}
		for i := range later {
			if d := later[i].Sub(since[i]); d > 2*time.Second {
				t.Errorf("ZooKeeper server %d has been up since %v, and before that since %v", i, later[i], since[i])
			}
		}
	}
}

// A node that owns many objects drains in time: it ends with status 0. Then nobody owns them, and another node need not wait.
func TestManyObjectsDrain(t *testing.T) {
	p, ids := newPlace(t, ""), counters(count(t, 500))
	n, other := p.node(t, "n1", "-idle", "-1s"), p.node(t, "n2", "-idle", "-1s")
	n.start()
	wake(t, n, ids)
	other.start()
	began := time.Now()
	n.stop()
	t.Logf("%d objects drained in %v", len(ids), time.Since(began))
	for _, id := range ids[:min(len(ids), 100)] {
		eventually(t, time.Minute, "the other node's server has heard that nobody owns it", func() error {
			if o, err := other.where(id); o.Live || err != nil {
				return fmt.Errorf("%s is at %+v, %v", id, o, err)
			}
			return nil
		})
	}
	wake(t, other, ids[:min(len(ids), 100)])
}

// maxPathBytes is what the paths of one session may take in the transaction that ends it.
const maxPathBytes = 512 << 10

// A node that owns many objects is killed: ZooKeeper is none the worse for it, and another node can claim them all.
func TestManyObjectsOfAKilledNode(t *testing.T) {
	p, ids := newPlace(t, ""), counters(count(t, 500))
	n, other := p.node(t, "n1", "-idle", "-1s"), p.node(t, "n2", "-idle", "-1s")
	n.start()
	wake(t, n, ids)
	sessions, err := p.sessions()
	must(t, err)
	claims := 0
	var sizes []int
	for id, paths := range sessions {
		size := 0
		for _, path := range paths {
			size += len(path) + 4
			if strings.HasPrefix(path, p.root+"/o/") {
				claims++
			}
		}
		if sizes = append(sizes, size); size > maxPathBytes {
			t.Errorf("the paths of session %#x take %d bytes, more than %d", id, size, maxPathBytes)
		}
	}
	if claims != len(ids) {
		t.Errorf("there are %d claims of %d objects", claims, len(ids))
	}
	slices.Sort(sizes)
	t.Logf("%d claims in %d sessions; bytes of their paths: %d", claims, len(sizes), sizes)

	still := p.healthy(t)
	other.start()
	began := time.Now()
	n.kill()
	wake(t, other, ids)
	eventually(t, time.Minute, "all claims of the killed node are gone", func() error {
		left, err := p.sessions()
		for id := range left {
			if sessions[id] != nil {
				err = errors.Join(err, fmt.Errorf("session %#x is left", id))
			}
		}
		return err
	})
	t.Logf("%d objects of a killed node were all served by another one, and its sessions were gone, %v after the kill", len(ids), time.Since(began))
	still()
}

// The leader of ZooKeeper stops for longer than a lease, and another one is elected. All leases lapse; no session ends, and so no object does.
func TestElectionEndsNothing(t *testing.T) {
	proxy, err := faults.NewStore(s3(t).Endpoint)
	must(t, err)
	t.Cleanup(proxy.Close)
	p := newPlace(t, proxy.URL())
	servers := own(t, p.zooKeeper)
	nodes := p.start(t)
	ids := counters(count(t, 300))
	for i, n := range nodes {
		wake(t, n, ids[i*len(ids)/3:(i+1)*len(ids)/3])
	}
	before, err := p.sessions()
	must(t, err)
	leader, err := p.zooKeeper.Leader()
	must(t, err)
	loads := proxy.Add(faults.StoreFault{Method: "GET", Key: "/o/counter/"}) // no fault: it counts

	herd := p.watchRequests()
	began := time.Now()
	since := func() time.Duration { return time.Since(began).Round(time.Millisecond) }
	time.Sleep(2 * time.Second) // what is usual
	paused := since()
	must(t, servers[leader].Pause(t.Context()))
	for _, n := range nodes {
		eventually(t, time.Minute, "the lease of "+n.name+" has lapsed", func() error {
			if err := n.ready(); err != nil {
				return nil
			}
			return errors.New("it has not")
		})
	}
	lapsed := since()
	var renewals, answers []time.Duration
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, n := range nodes {
		asking.Go(func() {
			for {
				if err := n.ready(); err == nil {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			mu.Lock()
			defer mu.Unlock()
			renewals = append(renewals, since())
		})
	}
	for i, id := range ids {
		asking.Go(func() {
			for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
				value, err := nodes[i%len(nodes)].tryValue(id)
				if err == nil && value == 0 {
					break
				}
				if time.Now().After(end) || value != 0 {
					t.Errorf("counter %s is %d, %v; want 0", id, value, err)
					break
				}
			}
			mu.Lock()
			defer mu.Unlock()
			answers = append(answers, since())
		})
	}
	asking.Wait()
	served := since()
	must(t, servers[leader].Unpause(t.Context()))
	must(t, p.zooKeeper.AwaitAll(t.Context()))
	back := since()
	time.Sleep(2 * time.Second) // what follows its return
	after, err := p.sessions()
	must(t, err)
	for _, all := range []map[int64][]string{before, after} {
		for id, paths := range all {
			if slices.Sort(paths); len(paths) == 0 {
				delete(all, id)
			}
		}
	}
	if !reflect.DeepEqual(before, after) {
		t.Errorf("sessions before: %v, after: %v; or not all of the same nodes are theirs", slices.Collect(maps.Keys(before)), slices.Collect(maps.Keys(after)))
	}
	if n := loads.Hits(); n > 0 {
		t.Errorf("%d objects were loaded again", n)
	}
	slices.Sort(renewals)
	slices.Sort(answers)
	t.Logf("the leader stops at %v; all leases have lapsed at %v; nodes are ready again at %v; %d objects answer from %v to %v; all have at %v; the former leader is back at %v",
		paused, lapsed, renewals, len(answers), answers[0], answers[len(answers)-1], served, back)
	herd(t, began)
}

// watchRequests looks at how many packets each ZooKeeper server has got, five times a second, until the function that it returns is called, which
// logs them. A server that is not there shows nothing.
func (p place) watchRequests() (stop func(t *testing.T, began time.Time)) {
	type row struct {
		at    time.Time
		count int64
	}
	all := make([][]row, len(p.zooKeeper.Addrs))
	over := make(chan struct{})
	var watching sync.WaitGroup
	for i, addr := range p.zooKeeper.Addrs {
		watching.Go(func() {
			ticker := time.NewTicker(200 * time.Millisecond)
			defer ticker.Stop()
			for {
				select {
				case <-over:
					return
				case <-ticker.C:
				}
				if n, err := figure(addr, "zk_packets_received"); err == nil {
					all[i] = append(all[i], row{time.Now(), n})
				}
			}
		})
	}
	return func(t *testing.T, began time.Time) {
		t.Helper()
		close(over)
		watching.Wait()
		for i, rows := range all {
			var b strings.Builder
			for k := 1; k < len(rows); k++ {
				d := rows[k].at.Sub(rows[k-1].at).Seconds()
				fmt.Fprintf(&b, " %.1f:%.0f", rows[k].at.Sub(began).Seconds(), float64(rows[k].count-rows[k-1].count)/d)
			}
			t.Logf("server %d, packets per second by time in seconds:%s", i+1, b.String())
		}
	}
}
