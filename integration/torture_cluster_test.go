package integration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/highlander-go/highlander/integration/faults"
	"github.com/highlander-go/highlander/integration/servers"
	"github.com/highlander-go/highlander/internal/zk/zkserver"
)

// Of the nodes under torture: short, so that faults follow each other quickly.
const (
	tortureLease   = 2 * time.Second
	tortureSession = 5 * time.Second
	takeover       = tortureSession + 3*time.Second // until others have taken over, at the latest
)

// A torture is a cluster whose parts are all in containers, with S3 behind a proxy, and clients that call it. The rules by which its parts are cut off from each other name
// addresses and ports, so that they never cut off the clients.
type torture struct {
	*testing.T
	place
	ctx       context.Context
	apps      []*app
	proxy     *faults.Store
	proxyAddr netip.AddrPort
	load      *cellLoad
	commit    string // that is recorded

	mu         sync.Mutex
	violations int
	done       map[string]int // faults that have really happened
}

// An app is a node in a container.
type app struct {
	name string
	dir  string     // that has its log
	addr netip.Addr // as other containers reach it
	*servers.Container
}

// newTorture starts one.
func newTorture(t *testing.T) *torture {
	t.Helper()
	own(t, zooKeeper(t))
	for _, tool := range []string{"nsenter", "iptables"} {
		if _, err := exec.LookPath(tool); err != nil || os.Geteuid() != 0 {
			t.Skipf("SKIPPED: it needs to be root, and %s: %v", tool, err)
		}
	}
	x := &torture{T: t, place: newPlace(t, ""), ctx: t.Context(), done: make(map[string]int)}
	var err error
	x.proxy, err = faults.NewStoreAt(netip.AddrPortFrom(x.zooKeeper.Gateway(), 0).String(), s3(t).Endpoint)
	must(t, err)
	t.Cleanup(x.proxy.Close)
	x.proxyAddr = netip.MustParseAddrPort(strings.TrimPrefix(x.proxy.URL(), "http://"))
	x.store = s3(t).URL(x.root[1:], x.proxy.URL())
	docker, err := shared.docker()
	must(t, err)
	env := make(map[string]string)
	for _, c := range servers.Credentials() {
		name, value, _ := strings.Cut(c, "=")
		env[name] = value
	}
	var ensemble []string
	for i := range x.zooKeeper.Servers {
		ensemble = append(ensemble, netip.AddrPortFrom(x.zooKeeper.Private(i), 2181).String())
	}
	for i := range 3 {
		a := &app{name: fmt.Sprint("app", i+1), dir: t.TempDir(), addr: x.zooKeeper.Guest(i)}
		must(t, os.Mkdir(filepath.Join(a.dir, "state"), 0o700))
		a.Container, err = docker.Run(x.ctx, x.zooKeeper, servers.Program{
			Folder: "torture", Port: "8080", Addr: a.addr, Env: env, Data: a.dir,
			Args: []string{"-name", a.name, "-http", ":8080", "-listen", ":7400", "-advertise", netip.AddrPortFrom(a.addr, 7400).String(), "-store", x.store, "-lease", tortureLease.String(),
				"-registry", fmt.Sprintf("zk://%s%s?session_timeout=%v", strings.Join(ensemble, ","), x.root, tortureSession),
				"-state", "/data/state", "-log", "/data/log"},
		})
		must(t, err)
		x.apps = append(x.apps, a)
		t.Cleanup(func() { x.keep(a) })
	}
	must(t, x.await())
	return x
}

// Errorf counts what is wrong.
func (x *torture) Errorf(format string, args ...any) {
	x.Helper()
	x.mu.Lock()
	x.violations++
	x.mu.Unlock()
	x.T.Errorf(format, args...)
}

// examine looks through a node's log.
func (x *torture) examine(a *app) {
	log, err := os.ReadFile(filepath.Join(a.dir, "log"))
	if err != nil {
		x.Error(err)
	}
	for line := range strings.Lines(string(log)) {
		for _, never := range []string{"DATA RACE", "ALARM", "panic"} {
			if strings.Contains(line, never) && !strings.Contains(line, "another root has taken over the store") { // which is so when ZooKeeper was wiped
				x.Errorf("node %s has logged what it never should: %s", a.name, line)
			}
		}
	}
}

// keep ends a node, and keeps its log if the test has failed.
func (x *torture) keep(a *app) {
	_ = a.Kill(context.Background()) // it may have ended
	if !x.Failed() {
		return
	}
	kept, err := os.CreateTemp("", "highlander-torture-"+a.name+"-*.log")
	if err == nil {
		defer kept.Close()
		var log []byte
		if log, err = os.ReadFile(filepath.Join(a.dir, "log")); err == nil {
			_, err = kept.Write(log)
		}
		x.Logf("the log of node %s is kept in %s", a.name, kept.Name())
	}
	if err != nil {
		x.Logf("the log of node %s is lost: %v", a.name, err)
	}
}

// until calls try until it returns nil, for some minutes.
func (x *torture) until(what string, try func() error) error {
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := try()
		if err == nil || x.ctx.Err() != nil {
			return x.ctx.Err()
		}
		if time.Now().After(end) {
			return fmt.Errorf("waited until %s: %w", what, err)
		}
	}
}

// await waits until all nodes are ready.
func (x *torture) await() error {
	for _, a := range x.apps {
		if err := x.until(a.name+" is ready", func() error {
			status, body, err := call(x.ctx, "", http.MethodGet, "http://"+a.Addr()+"/readyz", "")
			if err == nil && status != http.StatusOK {
				err = &statusError{status, string(body)}
			}
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// A partition is packets that are dropped in a container's network.
type partition struct {
	pid   int
	rules []string
}

// cutOff drops the packets of a container that rules of iptables match: "INPUT -s 10.0.0.1" and the like.
func (x *torture) cutOff(c *servers.Container, rules ...string) (*partition, error) {
	pid, err := x.pid(c)
	if err != nil {
		return nil, err
	}
	k := &partition{pid: pid, rules: rules}
	for _, rule := range rules {
		if _, err := inside(pid, "iptables -w -I "+rule+" -j DROP"); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// mend ends it, and returns how many packets were dropped.
func (k *partition) mend() (dropped int, err error) {
	table, err := inside(k.pid, "iptables -w -nvxL")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[2] == "DROP" {
			n, _ := strconv.Atoi(fields[0])
			dropped += n
		}
	}
	for _, rule := range k.rules {
		_, failed := inside(k.pid, "iptables -w -D "+rule+" -j DROP")
		err = errors.Join(err, failed)
	}
	return dropped, err
}

// pid waits until a container runs, and returns its process.
func (x *torture) pid(c *servers.Container) (pid int, err error) {
	err = x.until("a container runs", func() error {
		state, err := c.State(x.ctx)
		if pid = state.PID; err == nil && pid == 0 {
			err = errors.New("it does not")
		}
		return err
	})
	return pid, err
}

// inside runs a command of this machine in the network of a process, and returns what it says: nothing when the process is gone, and its network with it.
func inside(pid int, command string) (string, error) {
	out, err := exec.Command("nsenter", append([]string{"-t", strconv.Itoa(pid), "-n"}, strings.Fields(command)...)...).CombinedOutput()
	if _, gone := os.Stat(fmt.Sprintf("/proc/%d/ns/net", pid)); gone != nil {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", command, err, out)
	}
	return string(out), nil
}

// both are rules for what comes from an address and what goes there.
func both(addr netip.Addr) []string { return []string{from(addr), to(addr)} }

func from(addr netip.Addr) string { return "INPUT -s " + addr.String() }
func to(addr netip.Addr) string   { return "OUTPUT -d " + addr.String() }

// freeze stops the process of a container and returns what lets it go on, when all its threads have stopped.
func (x *torture) freeze(c *servers.Container) (thaw func() error, err error) {
	pid, err := x.pid(c)
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGSTOP)
	}
	if err != nil {
		return nil, err
	}
	return func() error { return syscall.Kill(pid, syscall.SIGCONT) }, x.until("a process is frozen", func() error { return zkserver.Frozen(pid) })
}

// others are the addresses of all nodes but one.
func (x *torture) others(a *app) (addrs []netip.Addr) {
	for _, other := range x.apps {
		if other != a {
			addrs = append(addrs, other.addr)
		}
	}
	return addrs
}

// busiest is the node that has answered last for most cells.
func (x *torture) busiest() *app {
	owned := x.load.owned()
	return slices.MaxFunc(x.apps, func(a, b *app) int { return owned[a.name] - owned[b.name] })
}
