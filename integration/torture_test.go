package integration

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// A cluster in containers suffers faults, of the kind that HIGHLANDER_FAULT names or of several kinds at the same time, while clients call it. See make torture.
func TestTorture(t *testing.T) {
	name := cmp.Or(os.Getenv("HIGHLANDER_FAULT"), "mix")
	if name != "mix" && tortures[name] == nil {
		t.Fatalf("there is no fault %q; there are mix, %s", name, strings.Join(slices.Sorted(maps.Keys(tortures)), ", "))
	}
	wanted, took := count(t, 0), long(t, 90*time.Second)
	x := newTorture(t)
	if os.Getenv("HIGHLANDER_RECORD") != "" {
		var err error
		x.commit, err = commit()
		must(t, err)
	}
	x.load = startCells(x)
	var audit putAudit
	audited := make(chan error, 1)
	over := make(chan struct{})
	go func() { // as it goes, since the bodies of all PUTs would take much memory
		for {
			if err := audit.take(x.bucket(), x.proxy.Take()); err != nil {
				audited <- err
				return
			}
			select {
			case <-over:
				audited <- audit.take(x.bucket(), x.proxy.Take())
				return
			case <-time.After(time.Second):
			}
		}
	}()
	began := time.Now()
	failed := x.injectAll(name, wanted, began.Add(took))
	lasted := time.Since(began)
	if failed == nil {
		failed = x.await()
	}
	if failed != nil {
		x.Error(failed)
	}
	x.load.stop()
	if err := x.until("all PUTs have landed", func() error {
		if n := x.proxy.Pending(); n > 0 {
			return fmt.Errorf("%d have not", n)
		}
		return nil
	}); err != nil {
		x.Error(err)
	}
	x.load.count()
	close(over)
	if err := <-audited; err != nil {
		x.Errorf("%v", err)
	}
	for _, v := range audit.violations() {
		x.Errorf("%s", v)
	}
	for _, a := range x.apps {
		x.examine(a)
	}
	x.report(name, wanted, lasted, &audit)
}

// bucket is what the paths of the cluster's records begin with.
func (x *torture) bucket() string { return "/highlander" + x.root }

// report says how it went, and whether that counts.
func (x *torture) report(name string, wanted int, lasted time.Duration, audit *putAudit) {
	l, times := x.load, 0
	var what []string
	for _, kind := range slices.Sorted(maps.Keys(x.done)) {
		times += x.done[kind]
		what = append(what, fmt.Sprintf("%s %d", kind, x.done[kind]))
	}
	x.Logf("%v: %s; %d calls acknowledged of %d cells, by %d attempts, %d unknown; %d PUTs of which %d took effect; %d times without calls: half up to %v, 99%% up to %v, all up to %v",
		lasted.Round(time.Second), strings.Join(what, ", "), l.acked, len(l.tallies), l.attempts, l.unknown, audit.puts, audit.taken,
		len(l.gaps), l.percentile(50), l.percentile(99), l.percentile(100))
	if least := max(1000, int(lasted/time.Second)*10); l.acked < least || audit.taken < least/10 {
		x.Error("invalid: too few operations:", l.acked, "want", least)
	}
	if times < max(1, wanted) {
		x.Error("invalid: too few faults:", times, "want", max(1, wanted))
	}
	if name == "mix" {
		for _, kind := range slices.Concat(mixed...) {
			if x.done[kind] == 0 {
				x.Log("there was no", kind)
			}
		}
	}
	if x.commit == "" || x.Failed() && x.violations == 0 {
		return // not to be recorded, or not valid
	}
	must(x.T, record("../docs/reliability.md", "| fault |", fmt.Sprintf("| %s | %d, in %v | %d | %d | %d | %v / %v / %v | %s, %s |\n", name, times, lasted.Round(time.Second), l.acked,
		x.violations, l.unknown, l.percentile(50), l.percentile(99), l.percentile(100), time.Now().Format(time.DateOnly), x.commit)))
}

// commit is what the sources are, which may change while a long test runs.
func commit() (string, error) {
	id, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err == nil && exec.Command("git", "diff", "--quiet", "HEAD", "--", ":/*.go").Run() != nil {
		return strings.TrimSpace(string(id)) + " and changes", nil
	}
	return strings.TrimSpace(string(id)), err
}

// record appends a row to the table whose head begins with these words.
func record(path, head, row string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, table, ok := strings.Cut(string(text), "\n"+head)
	if !ok {
		return fmt.Errorf("%s has no table %s", path, head)
	}
	rows, after, ok := strings.Cut(table, "|\n\n")
	if ok {
		after = "\n" + after
	}
	rows = strings.TrimSuffix(strings.TrimSuffix(rows, "\n"), "|") + "|\n"
	return os.WriteFile(path, []byte(before+"\n"+head+rows+row+after), 0o644)
}
