package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "todo")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = sync.OnceValues(func() (string, error) { return build(dir) })
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		os.RemoveAll(dir)
		os.Exit(status)
	}))
}

// binary returns the path of the program, built by the first test that needs it.
var binary func() (string, error)

// build builds the program, with the race detector if the test was.
func build(dir string) (string, error) {
	path := filepath.Join(dir, "todo")
	args := []string{"build", "-o", path}
	info, ok := debug.ReadBuildInfo()
	if ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return path, nil
}

// A process is the program, running.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	log    *logged
	url    string        // empty: it has ended without serving anything
	exited chan struct{} // then cmd has its status
}

// logged is what a process has written to stderr.
type logged struct {
	mu      sync.Mutex
	text    strings.Builder
	address chan string // capacity 1
}

var listening = regexp.MustCompile(`msg=listening address=(\S+)`)

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	if m := listening.FindSubmatch(b); m != nil {
		l.address <- string(m[1])
	}
	return len(b), nil
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// launch starts the program on any free port with the store in dir. It does not wait for it.
func launch(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, log: &logged{address: make(chan string, 1)}, exited: make(chan struct{})}
	p.cmd = exec.Command(path, append([]string{"-http", "127.0.0.1:0", "-store", "file:" + dir, "-name", "n1"}, args...)...)
	p.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1 atexit_sleep_ms=0")
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.cmd.Wait(); close(p.exited) }()
	t.Cleanup(p.kill)
	return p
}

// start starts the program and waits until it serves requests.
func start(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := launch(t, dir, args...)
	select {
	case address := <-p.log.address:
		p.url = "http://" + address
	case <-p.exited:
		t.Fatalf("the program has ended: %v\n%s", p.cmd.ProcessState, p.log)
	}
	return p
}

// kill ends the process with kill -9, if it runs.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.exited
	if log := p.log.String(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "ALARM") || strings.Contains(log, "panic") {
		p.t.Errorf("the program has logged what it never should:\n%s", log)
	}
}

// stop ends the process with SIGTERM, and fails the test unless it drains and exits with status 0.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if status := p.wait(); status != 0 {
		p.t.Errorf("after SIGTERM the program ended with status %d:\n%s", status, p.log)
	}
}

// wait waits for the process to end and returns its status.
func (p *process) wait() int {
	<-p.exited
	return p.cmd.ProcessState.ExitCode()
}
