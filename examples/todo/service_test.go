package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
)

func TestStateSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	call(t, "PUT", p.url+"/todos/milk", `{"title":"buy milk"}`)
	call(t, "POST", p.url+"/todos/milk/complete", "")
	call(t, "POST", p.url+"/counters/visits/add", `{"delta":3}`)
	first := where(t, p.url, "todo/milk")
	p.stop()

	p = start(t, dir)
	if again := where(t, p.url, "todo/milk"); again.Live {
		t.Errorf("nobody has called it yet, but it is awake at %+v", again)
	}
	_, _, todo := call(t, "GET", p.url+"/todos/milk", "")
	_, _, counter := call(t, "GET", p.url+"/counters/visits", "")
	if string(todo) != `{"title":"buy milk","completed":true,"color":"blue"}`+"\n" || string(counter) != `{"value":3}`+"\n" {
		t.Errorf("after a restart: %s %s", todo, counter)
	}
	if again := where(t, p.url, "todo/milk"); !again.Live || again.Node != "n1" || again.Incarnation == first.Incarnation {
		t.Errorf("where: first %+v, after a restart %+v", first, again)
	}
	p.stop()
}

func TestAwkwardIDsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	writeAwkward(t, p.url)
	readAwkward(t, p.url)
	p.stop()
	p = start(t, dir)
	readAwkward(t, p.url)
	p.stop()
}

func TestIdleObjectIsLetGoAndComesBack(t *testing.T) {
	p := start(t, t.TempDir(), "-idle", "50ms")
	call(t, "POST", p.url+"/counters/a/add", `{"delta":3}`)
	for where(t, p.url, "counter/a").Live {
	}
	if value := valueOf(t, p.url, "a"); value != 3 {
		t.Errorf("an idle object came back with %d, want 3", value)
	}
	p.stop()
}

func TestSecondProcessOnAFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	add(t, p.url, "a", 1)
	second := launch(t, dir)
	if status := second.wait(); status != 1 {
		t.Errorf("status %d, want 1", status)
	}
	log := second.log.String()
	if !strings.Contains(log, dir) || !strings.Contains(log, fmt.Sprintf("in use by process %d", p.cmd.Process.Pid)) {
		t.Errorf("the log names neither the folder nor who has it:\n%s", log)
	}
	add(t, p.url, "a", 1)
	p.stop()
	p = start(t, dir)
	if value := valueOf(t, p.url, "a"); value != 2 {
		t.Errorf("value %d, want 2", value)
	}
	p.stop()
}

func TestAddressInUseIsRefused(t *testing.T) {
	p := start(t, t.TempDir())
	second := launch(t, t.TempDir(), "-http", strings.TrimPrefix(p.url, "http://"))
	if status := second.wait(); status != 1 || !strings.Contains(second.log.String(), "address already in use") {
		t.Errorf("status %d, want 1:\n%s", status, second.log)
	}
}

func TestSignalDuringStartEndsTheProcess(t *testing.T) {
	dir := t.TempDir()
	for range 20 {
		os.Remove(filepath.Join(dir, ".lock"))
		p := launch(t, dir)
		for { // until it opens the store
			if _, err := os.Stat(filepath.Join(dir, ".lock")); err == nil {
				break
			}
		}
		p.stop()
	}
	if names := leftovers(t, dir); len(names) > 0 {
		t.Errorf("left in the folder: %q", names)
	}
	start(t, dir).stop()
}

func TestDrainWaitsForRequestsUnderWay(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	c, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /counters/a/add HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n")
	reply := make([]byte, 1000)
	if n, err := c.Read(reply); err != nil || !strings.HasPrefix(string(reply[:n]), "HTTP/1.1 100 ") { // it is being served
		t.Fatalf("%q, %v", reply[:n], err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for { // until it has stopped to accept
		other, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			break
		}
		other.Close()
	}
	fmt.Fprintf(c, `{"delta": 5}`)
	n, err := c.Read(reply)
	if err != nil || !strings.HasPrefix(string(reply[:n]), "HTTP/1.1 200 ") {
		t.Errorf("the request under way was answered %q, %v", reply[:n], err)
	}
	if status := p.wait(); status != 0 {
		t.Errorf("status %d:\n%s", status, p.log)
	}
	p = start(t, dir)
	if value := valueOf(t, p.url, "a"); value != 5 {
		t.Errorf("value %d, want 5", value)
	}
}

func TestReadOnlyFolderIsRefused(t *testing.T) {
	dir := small(t)
	p := start(t, filepath.Join(dir, "data"))
	p.stop()
	if out, err := exec.Command("mount", "-o", "remount,ro", dir).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: a mount cannot be made read-only here: %v %s", err, out)
	}
	p = launch(t, filepath.Join(dir, "data"))
	if status := p.wait(); status != 1 || !strings.Contains(p.log.String(), "read-only") || !strings.Contains(p.log.String(), dir) {
		t.Errorf("status %d, want 1, and what is wrong:\n%s", status, p.log)
	}
}

func TestFullDiskRefusesWritesUntilThereIsRoom(t *testing.T) {
	dir := small(t)
	p := start(t, filepath.Join(dir, "data"))
	add(t, p.url, "a", 1)
	fill := fillUp(t, dir)

	for _, id := range []string{"a", "new"} {
		for range 3 {
			status, header, body := call(t, "POST", p.url+"/counters/"+id+"/add", `{"delta":1}`)
			if status != 503 || header.Get("Retry-After") == "" || !strings.Contains(string(body), `"code":"unavailable"`) {
				t.Errorf("add to %s on a full disk: %d %s", id, status, body)
			}
		}
	}
	if value := valueOf(t, p.url, "a"); value != 1 {
		t.Errorf("on a full disk: value %d, want 1", value)
	}
	if log := p.log.String(); !strings.Contains(log, "counter/a") || !strings.Contains(log, "the disk is full") {
		t.Errorf("the log does not say what is wrong:\n%s", log)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	add(t, p.url, "a", 1)
	add(t, p.url, "new", 1)
	p.stop()

	p = start(t, filepath.Join(dir, "data"))
	if a, fresh := valueOf(t, p.url, "a"), valueOf(t, p.url, "new"); a != 2 || fresh != 1 {
		t.Errorf("values %d and %d, want 2 and 1", a, fresh)
	}
	p.stop()
}

func TestDamagedRecordStopsOnlyItsObject(t *testing.T) {
	damages := map[string]func(path, other string) error{
		"empty":      func(path, _ string) error { return os.Truncate(path, 0) },
		"cut":        func(path, _ string) error { return os.Truncate(path, 30) },
		"cut by one": func(path, _ string) error { info, _ := os.Stat(path); return os.Truncate(path, info.Size()-1) },
		"one bit": func(path, _ string) error {
			b, err := os.ReadFile(path)
			b[len(b)-1] ^= 1
			return errors.Join(err, os.WriteFile(path, b, 0o600))
		},
		"foreign": func(path, _ string) error { return os.WriteFile(path, []byte("GIF89a"), 0o600) },
		"zeros":   func(path, _ string) error { return os.WriteFile(path, make([]byte, 4096), 0o600) },
		"another's": func(path, other string) error {
			b, err := os.ReadFile(other)
			return errors.Join(err, os.WriteFile(path, b, 0o600))
		},
		"longer": func(path, _ string) error {
			b, err := os.ReadFile(path)
			return errors.Join(err, os.WriteFile(path, append(b, 0), 0o600))
		},
		"newer": func(path, _ string) error {
			return os.WriteFile(path, []byte("\x93\xachighlander/9\xce\x00\x00\x00\x00"), 0o600)
		},
	}
	dir := t.TempDir()
	p := start(t, dir)
	for name := range damages {
		add(t, p.url, name, 7)
	}
	add(t, p.url, "sound", 1)
	p.stop()

	path := func(id string) string {
		return filepath.Join(dir, persist.BlobName(object.Key{Type: "counter", ID: id}))
	}
	bytesOf := make(map[string][]byte)
	for name, damage := range damages {
		if err := damage(path(name), path("sound")); err != nil {
			t.Fatal(err)
		}
		var err error
		if bytesOf[name], err = os.ReadFile(path(name)); err != nil {
			t.Fatal(err)
		}
	}
	p = start(t, dir)
	for name := range damages {
		for _, r := range []struct{ method, path, body string }{
			{"GET", "", ""}, {"POST", "/add", `{"delta":1}`}, {"GET", "", ""},
		} {
			status, _, body := call(t, r.method, p.url+"/counters/"+percent(name)+r.path, r.body)
			if status != 503 || !strings.Contains(string(body), `"code":"unavailable"`) {
				t.Errorf("%s: %s %s: %d %s, want 503", name, r.method, r.path, status, body)
			}
		}
		if key := (object.Key{Type: "counter", ID: name}); !logsBoth(p.log.String(), key.String(), persist.BlobName(key)) {
			t.Errorf("%s: no line of the log names both the object and its blob:\n%s", name, p.log)
		}
		add(t, p.url, "sound", 1)
	}
	p.stop()
	for name := range damages {
		if after, err := os.ReadFile(path(name)); err != nil || !bytes.Equal(after, bytesOf[name]) {
			t.Errorf("%s: the record was touched: %q, %v", name, after, err)
		}
	}
}

// logsBoth tells whether a line of the log has both, as slog's text handler quotes them.
func logsBoth(log, a, b string) bool {
	for line := range strings.Lines(log) {
		line = strings.ReplaceAll(line, `\`, "")
		if strings.Contains(line, strings.ReplaceAll(a, `\`, "")) && strings.Contains(line, b) {
			return true
		}
	}
	return false
}

// small mounts a small file system for the test and returns where.
func small(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: only root can mount a small disk: %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	return dir
}

// fillUp takes all the room there is below dir, and returns the file that does.
func fillUp(t *testing.T, dir string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 4096)); errors.Is(err, syscall.ENOSPC) {
			return f.Name()
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

type ownership struct {
	Node, Incarnation string
	Live              bool
}

func where(t *testing.T, base, object string) (o ownership) {
	t.Helper()
	_, _, body := call(t, "GET", base+"/where/"+object, "")
	if err := json.Unmarshal(body, &o); err != nil {
		t.Fatalf("where %s: %s: %v", object, body, err)
	}
	return o
}

func add(t *testing.T, base, id string, delta int64) {
	t.Helper()
	status, _, body := call(t, http.MethodPost, base+"/counters/"+percent(id)+"/add", fmt.Sprintf(`{"delta":%d}`, delta))
	if status != 200 {
		t.Fatalf("add to %s: %d %s", id, status, body)
	}
}

func valueOf(t *testing.T, base, id string) int64 {
	t.Helper()
	var c counterJSON
	status, _, body := call(t, http.MethodGet, base+"/counters/"+percent(id), "")
	if err := json.Unmarshal(body, &c); status != 200 || err != nil {
		t.Fatalf("counter %s: %d %s", id, status, body)
	}
	return c.Value
}

// leftovers are the files of the store that are neither a record nor the lock. A scratch blob of the check at the start
// may stay when the process is killed right there.
func leftovers(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if name, _ := filepath.Rel(dir, path); name != ".lock" && name != "cluster" && !strings.HasPrefix(name, "check/") {
			if _, err := persist.ParseBlobName(name); err != nil {
				names = append(names, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
