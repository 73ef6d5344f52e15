//go:build unix

package persist

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/highlander-go/highlander/object"
)

const killsShort = 200 // instead of kills, with -short

// crashNames are written by a goroutine each. The last one is deleted by every second of its steps.
var crashNames = []string{"o/list/3/a", "o/list/3/b", "o/user/0/long+/name", "o/list/f/comes-and-goes"}

// crashBody is what a name holds after its step n; none before the first.
func crashBody(name string, n int) (body []byte, exists bool) {
	if n == 0 || name == crashNames[len(crashNames)-1] && n%2 == 0 {
		return nil, false
	}
	length := []int{10, 5_000, 300, 70_000}[n%4]
	return bytes.Repeat(fmt.Appendf(nil, "%s %d;", name, n), length/len(name)), true
}

// childWrites goes on with each name after the step given for it, and reports what has been acknowledged as
// lines of a name's index and a step. It never ends.
func childWrites(args []string) error {
	report := func(name, n int) { _, _ = os.Stdout.WriteString(fmt.Sprintln(name, n)) }
	report(-1, 0)
	d, err := OpenDirectory(args[0])
	if err != nil {
		return err
	}
	ctx := context.Background()
	failures := make(chan error)
	for i, name := range crashNames {
		n, err := strconv.Atoi(args[1+i])
		if err != nil {
			return err
		}
		go func() {
			for {
				if err := crashStep(ctx, d, name, n+1); err != nil {
					failures <- err
				}
				n++
				report(i, n)
			}
		}()
	}
	return <-failures
}

// crashStep does step n under the condition that the step before has been done.
func crashStep(ctx context.Context, s object.Store, name string, n int) error {
	condition := object.IfAbsent()
	if before, exists := crashBody(name, n-1); exists {
		condition = object.IfMatch(tagOf(before))
	}
	body, exists := crashBody(name, n)
	if !exists {
		return s.Delete(ctx, name, condition)
	}
	_, err := s.Put(ctx, name, body, condition)
	return err
}

func TestDirectorySurvivesKills(t *testing.T) {
	total := kills
	if testing.Short() {
		total = killsShort
	}
	workers := min(4, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	var mu sync.Mutex
	acknowledged := 0
	for w := range workers {
		wg.Go(func() {
			n, err := killAgainAndAgain(t.Context(), t.TempDir(), total/workers, rand.New(rand.NewPCG(rand.Uint64(), 0)))
			if err != nil {
				t.Errorf("writer %d: %v", w, err)
			}
			mu.Lock()
			defer mu.Unlock()
			acknowledged += n
		})
	}
	wg.Wait()
	t.Logf("%d kills, %d acknowledged steps", total/workers*workers, acknowledged)
	if acknowledged < total {
		t.Errorf("only %d steps were acknowledged in %d lives: nothing was tested", acknowledged, total)
	}
}

// killAgainAndAgain returns how many steps were acknowledged.
func killAgainAndAgain(ctx context.Context, dir string, lives int, random *rand.Rand) (int, error) {
	done := make([]int, len(crashNames)) // steps found on the disk
	sum := 0
	for life := range lives {
		acknowledged, err := liveAndDie(ctx, dir, done, random)
		if err != nil {
			return sum, fmt.Errorf("life %d: %w", life, err)
		}
		found, err := stepsFound(ctx, dir, acknowledged)
		if err != nil {
			return sum, fmt.Errorf("after life %d: %w", life, err)
		}
		for i := range done {
			sum += acknowledged[i] - done[i]
		}
		done = found
	}
	return sum, nil
}

// liveAndDie lets a child write on after the steps done, kills it at a random moment, and returns the last
// steps that it has acknowledged.
func liveAndDie(ctx context.Context, dir string, done []int, random *rand.Rand) (acknowledged []int, err error) {
	args := []string{dir}
	for _, n := range done {
		args = append(args, strconv.Itoa(n))
	}
	child := childCommand(ctx, "write", args...)
	var stderr bytes.Buffer
	child.Stderr = &stderr
	reports, err := child.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := child.Start(); err != nil {
		return nil, err
	}
	acknowledged = append([]int(nil), done...)
	lines := bufio.NewReader(reports)
	readErr := error(nil)
	for range 1 + random.IntN(8) { // the first says that it has started
		if readErr = readReport(lines, acknowledged); readErr != nil {
			break
		}
	}
	pause := time.Duration(random.IntN(500)) * time.Microsecond
	for from := time.Now(); time.Since(from) < pause; {
		runtime.Gosched()
	}
	killErr := child.Process.Kill()
	for readErr == nil {
		readErr = readReport(lines, acknowledged)
	}
	waitErr := child.Wait()
	if readErr != io.EOF || child.ProcessState.Exited() {
		return nil, fmt.Errorf("the child failed: %w: %s", errors.Join(readErr, killErr, waitErr), &stderr)
	}
	return acknowledged, nil
}

func readReport(lines *bufio.Reader, acknowledged []int) error {
	line, err := lines.ReadString('\n')
	if err != nil {
		return err // a line cut off has not been reported
	}
	var name, n int
	if _, err := fmt.Sscan(line, &name, &n); err != nil {
		return fmt.Errorf("report %q: %w", line, err)
	}
	if name >= 0 {
		acknowledged[name] = n
	}
	return nil
}

// stepsFound opens the folder after a kill and returns what step each name has: the one that was
// acknowledged last, or the one after it.
func stepsFound(ctx context.Context, dir string, acknowledged []int) ([]int, error) {
	// A child that another worker forks meanwhile would have the lock, too, until it becomes another program.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	d, err := OpenDirectory(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if left, err := os.ReadDir(dir + "/" + temporaryFolder); err != nil || len(left) > 0 {
		return nil, fmt.Errorf("temporary files are left: %v, %w", left, err)
	}
	found := make([]int, len(crashNames))
	for i, name := range crashNames {
		body, _, err := d.Get(ctx, name)
		if err != nil && !errors.Is(err, object.ErrNoBlob) {
			return nil, err
		}
		for n := acknowledged[i]; ; n++ {
			if n > acknowledged[i]+1 {
				return nil, fmt.Errorf("%s: acknowledged was step %d, found are %d bytes %.40q", name, acknowledged[i], len(body), body)
			}
			want, exists := crashBody(name, n)
			if exists == (err == nil) && bytes.Equal(want, body) {
				found[i] = n
				break
			}
		}
	}
	return found, nil
}

// childCommand runs this test binary in a role.
func childCommand(ctx context.Context, role string, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.CommandContext(ctx, self, args...)
	// Without the option a program with the race detector takes a second to end.
	cmd.Env = append(os.Environ(), childRole+"="+role, "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	return cmd
}

func childOpens(args []string) error {
	d, err := OpenDirectory(args[0])
	if err != nil {
		return err
	}
	return d.Close()
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	d := openTestDirectory(t, dir)
	out, err := childCommand(t.Context(), "open", dir).CombinedOutput()
	if err == nil {
		t.Fatal("a second process opened the folder")
	}
	for _, want := range []string{dir, "in use by process " + strconv.Itoa(os.Getpid()), "close it"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the second process said %q, want %q in it", out, want)
		}
	}
	if _, err := d.Put(t.Context(), "a", nil, object.Condition{}); err != nil {
		t.Errorf("the first process is disturbed: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := childCommand(t.Context(), "open", dir).CombinedOutput(); err != nil {
		t.Errorf("after the first process closed it: %v: %s", err, out)
	}
}
