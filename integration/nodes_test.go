package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/highlander-go/highlander/internal/zk/zkserver"
)

// build builds a program, with the race detector if the test was, out of a package of the module in the folder given, and returns its path in dir.
func build(dir, module, pkg string) (string, error) {
	path := filepath.Join(dir, filepath.Base(pkg))
	args := []string{"build", "-o", path}
	info, ok := debug.ReadBuildInfo()
	if ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, pkg)...)
	build.Dir = module
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return path, nil
}

// A node is a todo service, or another program, or the place of one: it can be ended and started again, with the same flags and addresses. Its
// methods but URL are not to be called concurrently.
type node struct {
	t    *testing.T
	name string
	http string // host:port
	args []string
	log  string // file that all its processes write to

	program func() (path string, err error)

	cmd    *exec.Cmd // nil: no process
	exited chan struct{}
}

// newNode returns a node that has not been started yet. When the test ends it is killed; when it has failed, its log is shown.
func newNode(t *testing.T, name string, args ...string) *node {
	t.Helper()
	n := &node{t: t, name: name, http: freeAddr(t), log: filepath.Join(t.TempDir(), name+".log"), program: shared.todo}
	n.args = append([]string{"-name", name, "-http", n.http}, args...)
	t.Cleanup(func() {
		n.kill()
		log := n.logged()
		for _, never := range []string{"DATA RACE", "ALARM", "panic"} {
			if strings.Contains(log, never) {
				t.Errorf("node %s has logged what it never should: %s", name, never)
			}
		}
		if t.Failed() {
			if len(log) > 20_000 {
				log = "…" + log[len(log)-20_000:]
			}
			t.Logf("the log of node %s:\n%s", name, log)
		}
	})
	return n
}

// URL is where the node serves HTTP.
func (n *node) URL() string { return "http://" + n.http }

// launch starts a process and does not wait for it.
func (n *node) launch() {
	n.t.Helper()
	path, err := n.program()
	must(n.t, err)
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(n.t, err)
	defer log.Close()
	n.cmd, n.exited = exec.Command(path, n.args...), make(chan struct{})
	n.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1 atexit_sleep_ms=0")
	n.cmd.Stderr = log
	endWithParent(n.cmd)
	must(n.t, n.cmd.Start())
	go func(cmd *exec.Cmd, exited chan struct{}) { _ = cmd.Wait(); close(exited) }(n.cmd, n.exited)
}

// start starts a process and waits until it is ready.
func (n *node) start() {
	n.t.Helper()
	n.launch()
	n.await()
}

// await waits until the node is ready.
func (n *node) await() {
	n.t.Helper()
	eventually(n.t, time.Minute, "node "+n.name+" is ready", func() error {
		select {
		case <-n.exited:
			n.t.Fatalf("node %s has ended: %v", n.name, n.cmd.ProcessState)
		default:
		}
		return n.ready()
	})
}

// ready returns nil when the node says that it is.
func (n *node) ready() error {
	status, body, err := call(n.t.Context(), "", http.MethodGet, n.URL()+"/readyz", "")
	if err == nil && status != http.StatusOK {
		err = &statusError{status, string(body)}
	}
	return err
}

// kill ends the process with SIGKILL, if there is one.
func (n *node) kill() {
	if n.cmd != nil {
		_ = n.cmd.Process.Kill() // it may have ended
		<-n.exited
		n.cmd = nil
	}
}

// stop ends the process with SIGTERM. The test fails unless it drains and ends with status 0.
func (n *node) stop() {
	n.t.Helper()
	n.signal(syscall.SIGTERM)
	if status := n.wait(); status != 0 {
		n.t.Errorf("after SIGTERM node %s ended with status %d", n.name, status)
	}
}

// wait waits until the process has ended and returns its status.
func (n *node) wait() int {
	n.t.Helper()
	select {
	case <-n.exited:
	case <-time.After(time.Minute):
		n.t.Fatalf("node %s does not end", n.name)
	}
	status := n.cmd.ProcessState.ExitCode()
	n.cmd = nil
	return status
}

// pause freezes the process, until resume. It returns when all threads have stopped: on a busy machine some go on for a while after the signal.
func (n *node) pause() {
	n.t.Helper()
	n.signal(syscall.SIGSTOP)
	eventually(n.t, time.Minute, "the process is frozen", func() error { return zkserver.Frozen(n.cmd.Process.Pid) })
}

func (n *node) resume() { n.t.Helper(); n.signal(syscall.SIGCONT) }

func (n *node) signal(s os.Signal) {
	n.t.Helper()
	must(n.t, n.cmd.Process.Signal(s))
}

// logged is what the node's processes have written.
func (n *node) logged() string {
	log, _ := os.ReadFile(n.log) // none when it was never started
	return string(log)
}

// An ownership is an answer about where an object is.
type ownership struct {
	Node, Incarnation string
	Live              bool
}

// where asks the node which node owns a counter.
func (n *node) where(id string) (o ownership, err error) {
	status, body, err := call(n.t.Context(), "", http.MethodGet, n.URL()+"/where/counter/"+id, "")
	if err != nil || status != http.StatusOK {
		return o, fmt.Errorf("where: %d %s: %w", status, body, err)
	}
	return o, json.Unmarshal(body, &o)
}

// owner waits until the node knows who owns a counter that is called: its ZooKeeper server may lag behind.
func (n *node) owner(id string) (o ownership) {
	n.t.Helper()
	eventually(n.t, time.Minute, id+" is owned", func() (err error) {
		if o, err = n.where(id); err == nil && !o.Live {
			err = errors.New("it is not")
		}
		return err
	})
	return o
}

// add adds to a counter and returns its new value, or ends the test.
func (n *node) add(id string, delta int64) int64 {
	n.t.Helper()
	value, err := n.tryAdd(id, delta)
	must(n.t, err)
	return value
}

func (n *node) tryAdd(id string, delta int64) (int64, error) {
	return counter(n.t.Context(), "", http.MethodPost, n.URL()+"/counters/"+id+"/add", fmt.Sprintf(`{"delta":%d}`, delta))
}

// value returns a counter's value, or ends the test.
func (n *node) value(id string) int64 {
	n.t.Helper()
	value, err := n.tryValue(id)
	must(n.t, err)
	return value
}

func (n *node) tryValue(id string) (int64, error) {
	return counter(n.t.Context(), "", http.MethodGet, n.URL()+"/counters/"+id, "")
}

// A statusError is an answer other than 200.
type statusError struct {
	status int
	body   string
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d: %s", e.status, e.body) }

func counter(ctx context.Context, key, method, url, body string) (int64, error) {
	status, said, err := call(ctx, key, method, url, body)
	if err != nil {
		return 0, err
	}
	if status != http.StatusOK {
		return 0, &statusError{status, strings.TrimSpace(string(said))}
	}
	var c struct{ Value int64 }
	err = json.Unmarshal(said, &c)
	return c.Value, err
}

// web is the transport of all requests to nodes. It is closed when the tests have ended.
var web = &http.Transport{MaxIdleConnsPerHost: 64}

// call makes one request, with the Idempotency-Key if there is one; it is never repeated.
func call(ctx context.Context, key, method, url, body string) (status int, said []byte, err error) {
	return request(ctx, "", key, method, url, body)
}

// request makes one for the user.
func request(ctx context.Context, user, key, method, url, body string) (status int, said []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second) // longer than the service takes to say that it cannot
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
		r.GetBody = nil // or net/http sends it again by itself, and says that nobody listens when the node has been killed after the first time
	}
	if user != "" {
		r.Header.Set("X-User", user)
	}
	response, err := web.RoundTrip(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	said, err = io.ReadAll(response.Body)
	return response.StatusCode, said, err
}

// eventually calls try until it returns nil, and ends the test after so long.
func eventually(t *testing.T, limit time.Duration, what string, try func() error) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited %v until %s: %v", limit, what, err)
		}
	}
}

// taken are ports that were handed out, so that two nodes that have not started yet do not get the same one.
var taken sync.Map

// freeAddr returns a loopback address whose port was free a moment ago.
func freeAddr(t *testing.T) string {
	t.Helper()
	for {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		addr := listener.Addr().String()
		must(t, listener.Close())
		if _, again := taken.LoadOrStore(addr, true); !again {
			return addr
		}
	}
}

// What the tests below rely on: a process can be killed, frozen, ended and started again in its place.
func TestNodeProcesses(t *testing.T) {
	n := newNode(t, "n1", "-store", "file:"+t.TempDir())
	n.start()
	n.add("a", 1)
	n.kill()
	if _, err := n.tryValue("a"); err == nil {
		t.Error("a killed node answers")
	}
	n.start()
	n.pause()
	answered := make(chan int64, 1)
	go func() { value, _ := n.tryAdd("a", 1); answered <- value }()
	select {
	case value := <-answered:
		t.Errorf("a frozen node answers %d", value)
	case <-time.After(100 * time.Millisecond):
	}
	n.resume()
	if value := <-answered; value != 2 || n.value("a") != 2 {
		t.Errorf("the counter is %d and then %d after the node was killed and frozen, want 2", value, n.value("a"))
	}
	if owner, err := n.where("a"); !owner.Live || owner.Node != "n1" || err != nil {
		t.Errorf("the counter is at %+v, %v", owner, err)
	}
	n.stop()
	if !strings.Contains(n.logged(), "stopping") {
		t.Errorf("the log has nothing of the end: %s", n.logged())
	}
}
