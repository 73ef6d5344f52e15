package integration

import (
	"bufio"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// 5% of the packets between nodes are lost, and each node in turn stands still for a second: nobody who renews its lease in time is
// evicted. See make freezes.
func TestLossAndFreezesEvictNobody(t *testing.T) {
	if os.Getenv("HIGHLANDER_DURATION") == "" {
		t.Skip("SKIPPED: it makes rules of iptables, and HIGHLANDER_DURATION does not say for how long")
	}
	p := newPlace(t, "")
	var nodes []*node
	var addrs []string
	for i := range 3 {
		addrs = append(addrs, freeAddr(t))
		nodes = append(nodes, p.node(t, fmt.Sprint("n", i+1), "-listen", addrs[i]))
		nodes[i].start()
	}
	l := startPacedLoad(t, nodes, 20, 4, 400*time.Millisecond)
	l.progress(200)
	all, err := p.sessions()
	must(t, err)
	before := p.below("live/", all)
	if len(before) != len(nodes) {
		t.Fatalf("%d nodes live by %v", len(nodes), before)
	}

	packets := lose(t, 0.05, addrs)
	var freezes, blind, attempts int
	var longest time.Duration
	evicting := make(map[string]int64)
	report := func() {
		lost, all := packets()
		var refused, evicted int
		for _, n := range nodes {
			log := n.logged()
			refused += strings.Count(log, "was not evicted")
			evicted += strings.Count(log, "was evicted")
		}
		t.Logf("%d freezes of up to %v; %d of %d packets lost; %d evictions begun and %d refused; %d members evicted; not looked %d times; %d adds acknowledged",
			freezes, longest, lost, all, attempts, refused, evicted, blind, l.acked())
		if evicted > 0 || lost == 0 {
			t.Errorf("%d members were evicted while %d packets were lost", evicted, lost)
		}
	}
	for end := time.Now().Add(long(t, 0)); time.Now().Before(end); {
		time.Sleep(700*time.Millisecond + rand.N(1600*time.Millisecond)) // each of three nodes once in 5 to 10 s
		n, began := nodes[freezes%len(nodes)], time.Now()
		n.pause()
		time.Sleep(time.Second) // the freeze itself
		n.resume()
		longest = max(longest, time.Since(began))
		freezes++
		all, err := p.sessions()
		if err != nil {
			blind++ // what was missed is seen the next time: who has lost a session never gets it back
			continue
		}
		if now := p.below("live/", all); !maps.Equal(now, before) {
			report()
			t.Fatalf("the nodes lived by %v, and now, after a freeze of %s, by %v", before, n.name, now)
		}
		if now := p.below("evicting", all); !maps.Equal(now, evicting) {
			attempts += len(now)
			evicting = now
		}
		if freezes%200 == 0 {
			report()
		}
	}
	report()
	l.check()
}

// below returns those ephemeral nodes whose paths below the root begin with prefix, and their sessions.
func (p place) below(prefix string, sessions map[int64][]string) map[string]int64 {
	below := make(map[string]int64)
	for session, paths := range sessions {
		for _, path := range paths {
			if path, ok := strings.CutPrefix(path, p.root+"/"); ok && strings.HasPrefix(path, prefix) {
				below[path] = session
			}
		}
	}
	return below
}

// loss is a shell script: rules that drop a share of the packets to and from ports of the loopback interface, and count all of them,
// for as long as its standard input is open.
const loss = `
chain=$1 share=$2
shift 2
trap 'iptables -w -D INPUT -i lo -p tcp -j $chain; iptables -w -F $chain; iptables -w -X $chain' EXIT
set -e
iptables -w -N $chain
for addr; do
	for packets in "-d ${addr%:*} --dport ${addr#*:}" "-s ${addr%:*} --sport ${addr#*:}"; do
		iptables -w -A $chain -p tcp $packets
		iptables -w -A $chain -p tcp $packets -m statistic --mode random --probability $share -j DROP
	done
done
iptables -w -I INPUT -i lo -p tcp -j $chain
echo ready
cat
`

// lose drops a share of the packets to and from addresses of the loopback interface, until the test ends, in whatever way.
// What it returns counts those packets.
func lose(t *testing.T, share float64, addrs []string) (packets func() (lost, all int)) {
	t.Helper()
	chain := fmt.Sprint("highlander-", os.Getpid())
	rules := exec.Command("sh", append([]string{"-c", loss, "loss", chain, fmt.Sprint(share)}, addrs...)...)
	rules.Stderr = os.Stderr
	rules.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what interrupts the tests must not interrupt what cleans up
	open, err := rules.StdinPipe()
	must(t, err)
	out, err := rules.StdoutPipe()
	must(t, err)
	must(t, rules.Start())
	t.Cleanup(func() {
		open.Close()
		if err := rules.Wait(); err != nil {
			t.Errorf("rules of iptables: %v", err)
		}
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("no rules of iptables, which need root: %q, %v", line, err)
	}
	return func() (lost, all int) {
		table, err := exec.Command("iptables", "-w", "-nvxL", chain).Output()
		must(t, err)
		for line := range strings.Lines(string(table)) {
			fields := strings.Fields(line)
			if len(fields) < 3 {
				continue
			}
			n, err := strconv.Atoi(fields[0])
			switch {
			case err != nil: // a heading
			case fields[2] == "DROP":
				lost += n
			default:
				all += n
			}
		}
		return lost, all
	}
}
