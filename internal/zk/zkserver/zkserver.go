// Package zkserver runs real ZooKeeper servers for tests, as child processes on loopback ports, from Debian's packages zookeeper and
// openjdk-17-jre-headless. It can do to them what happens to servers: stop, kill, pause, restart on the same port and data.
package zkserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Environment is the variable that names servers to test against, as host:port,host:port, in place of ones started here.
const Environment = "HIGHLANDER_TEST_ZOOKEEPER"

// Tick is the servers' tick. They grant session timeouts from two ticks to a minute, and find expired sessions once a tick.
const Tick = 500 * time.Millisecond

// startTimeout bounds the wait for a server to serve. It is long because the machine may be busy.
const startTimeout = 60 * time.Second

const jar = "/usr/share/java/zookeeper.jar"

// Addrs returns servers to test against: those that the environment names, or one that it starts for this test, or it skips the test.
func Addrs(t testing.TB) []string {
	t.Helper()
	if named := os.Getenv(Environment); named != "" {
		return strings.Split(named, ",")
	}
	return Start(t, 1).Addrs()
}

// An Ensemble is a few servers, or a single one, that run until the test ends.
type Ensemble struct {
	Servers []*Server
}

// Start starts an ensemble of n servers and waits until all of them serve. Where ZooKeeper is not installed it skips the test, and says so; if
// HIGHLANDER_REQUIRE_ZOOKEEPER is set, the test fails.
func Start(t testing.TB, n int) *Ensemble {
	t.Helper()
	skip := t.Skipf
	if os.Getenv("HIGHLANDER_REQUIRE_ZOOKEEPER") != "" {
		skip = t.Fatalf
	}
	java, err := exec.LookPath("java")
	if err != nil {
		skip("SKIPPED: real ZooKeeper servers need java: apt-get install openjdk-17-jre-headless zookeeper, or set %s", Environment)
	}
	if _, err := os.Stat(jar); err != nil {
		skip("SKIPPED: real ZooKeeper servers need %s: apt-get install zookeeper, or set %s", jar, Environment)
	}
	e := &Ensemble{}
	var members strings.Builder
	for id := 1; id <= n; id++ {
		e.Servers = append(e.Servers, &Server{java: java, dir: t.TempDir(), addr: net.JoinHostPort("127.0.0.1", freePort(t))})
		if n > 1 {
			fmt.Fprintf(&members, "server.%d=127.0.0.1:%s:%s\n", id, freePort(t), freePort(t))
		}
	}
	t.Cleanup(func() {
		for _, s := range e.Servers {
			s.Kill()
			if t.Failed() {
				t.Logf("the end of what server %s said:\n%s", s.addr, s.lastWords())
			}
		}
	})
	for i, s := range e.Servers {
		if err := s.configure(i+1, members.String()); err != nil {
			t.Fatal(err)
		}
		if err := s.spawn(); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range e.Servers {
		s.Await(t)
	}
	return e
}

// Addrs returns the servers' addresses, as host:port.
func (e *Ensemble) Addrs() []string {
	var addrs []string
	for _, s := range e.Servers {
		addrs = append(addrs, s.addr)
	}
	return addrs
}

// Leader returns the server that leads, or nil while there is none. A single server leads.
func (e *Ensemble) Leader() *Server {
	for _, s := range e.Servers {
		if mode := s.Mode(); mode == "leader" || mode == "standalone" {
			return s
		}
	}
	return nil
}

// Follower returns a server that follows, or nil while there is none.
func (e *Ensemble) Follower() *Server {
	for _, s := range e.Servers {
		if s.Mode() == "follower" {
			return s
		}
	}
	return nil
}

// A Server is one server process, or the place of one. Its methods are not to be called concurrently.
type Server struct {
	java string
	dir  string
	addr string

	cmd    *exec.Cmd     // nil when no process runs
	exited chan struct{} // closed when it has ended
}

// Addr returns the address for clients, as host:port.
func (s *Server) Addr() string { return s.addr }

// Restart starts the server again after [Server.Stop] or [Server.Kill], with the same port and data, and waits until it serves.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.spawn(); err != nil {
		t.Fatal(err)
	}
	s.Await(t)
}

// Spawn starts the server again without waiting: one of an ensemble whose majority is down does not serve.
func (s *Server) Spawn(t testing.TB) {
	t.Helper()
	if err := s.spawn(); err != nil {
		t.Fatal(err)
	}
}

// Stop asks the server to end, and waits until it has.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the server with SIGKILL.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Pause freezes the server: its connections stay open, and nothing answers. It returns when all threads have stopped: on a busy machine some
// go on for a while after the signal.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGSTOP)
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(time.Millisecond) {
		err := Frozen(s.cmd.Process.Pid)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the ZooKeeper server %s does not stop: %v", s.addr, err)
		}
	}
}

// Frozen returns an error as long as a thread of the process goes on after SIGSTOP; only Linux tells.
func Frozen(pid int) error {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, thread := range threads {
		if stat, err := os.ReadFile(thread); err == nil && !strings.Contains(string(stat), ") T ") { // pid (name) state ...
			return fmt.Errorf("%s: %s", thread, stat)
		}
	}
	return err
}

// Resume ends a pause.
func (s *Server) Resume(t testing.TB) { s.signal(t, syscall.SIGCONT) }

// Await waits until the server serves clients.
func (s *Server) Await(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(startTimeout); s.Mode() == ""; time.Sleep(20 * time.Millisecond) {
		select {
		case <-s.exited:
			t.Fatalf("the ZooKeeper server %s has ended:\n%s", s.addr, s.lastWords())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("the ZooKeeper server %s does not serve:\n%s", s.addr, s.lastWords())
		}
	}
}

// Mode returns what the server says that it is: "leader", "follower" or "standalone"; "" when it does not serve.
func (s *Server) Mode() string {
	answer, _ := Ask(s.addr, "srvr")
	for line := range strings.Lines(answer) {
		if mode, ok := strings.CutPrefix(line, "Mode: "); ok {
			return strings.TrimSpace(mode)
		}
	}
	return ""
}

// Ask sends one of ZooKeeper's four-letter commands to a server, such as "mntr" or "cons".
func Ask(addr, command string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.WriteString(conn, command); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(bufio.NewReader(conn))
	return string(answer), err
}

func (s *Server) configure(id int, members string) error {
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		return err
	}
	config := fmt.Sprintf("tickTime=%d\ninitLimit=20\nsyncLimit=6\nmaxSessionTimeout=60000\nmaxClientCnxns=0\n"+
		"dataDir=%s\nclientPort=%s\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n4lw.commands.whitelist=*\n%s",
		Tick.Milliseconds(), s.dir, port, members)
	return errors.Join(
		os.WriteFile(filepath.Join(s.dir, "zoo.cfg"), []byte(config), 0o600),
		os.WriteFile(filepath.Join(s.dir, "myid"), fmt.Append(nil, id), 0o600))
}

func (s *Server) spawn() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.java, "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", // what starts fastest
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-Dzookeeper.forceSync=no",
		"-Dznode.container.checkIntervalMs=500", // so that tests meet the collector of containers
		"-cp", jar+":/usr/share/java/slf4j-simple.jar",
		"org.apache.zookeeper.server.quorum.QuorumPeerMain", filepath.Join(s.dir, "zoo.cfg"))
	cmd.Stdout, cmd.Stderr = log, log
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start a ZooKeeper server: %w", err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ended is in its log
	}()
	s.cmd, s.exited = cmd, exited
	return nil
}

func (s *Server) end(signal os.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(signal) // fails when it has ended already
	_ = s.cmd.Process.Signal(syscall.SIGCONT)
	<-s.exited
	s.cmd = nil
}

func (s *Server) signal(t testing.TB, signal os.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Fatalf("signal the ZooKeeper server %s: %v", s.addr, err)
	}
}

func (s *Server) lastWords() string {
	words, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(words[max(0, len(words)-4096):])
}

// freePort returns a port that nobody listens on, below those that systems give to outgoing connections: so it is still free after a restart.
func freePort(t testing.TB) string {
	t.Helper()
	for range 100 {
		port := fmt.Sprint(20000 + rand.IntN(12000))
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", port))
		if err == nil {
			_ = listener.Close()
			return port
		}
	}
	t.Fatal("no free port on loopback")
	return ""
}
