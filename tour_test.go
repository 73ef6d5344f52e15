package highlander

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The first section of docs/objects.md does what it says: its files are written and its commands are run, in order, and what stands below a command
// is what it prints.
func TestTheTourOfObjects(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds programs")
	}
	doc, err := os.ReadFile("docs/objects.md")
	if err != nil {
		t.Fatal(err)
	}
	section, _, found := strings.Cut(string(doc), "\n## 2.")
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil || !found {
		t.Fatal(err)
	}
	listener.Close()
	section = strings.ReplaceAll(section, "localhost:8080", listener.Addr().String())
	tour := &tour{T: t, dir: t.TempDir(), address: listener.Addr().String()}
	block := regexp.MustCompile("(?s)(?:`([a-z_]+\\.go)`[^`\n]*\n\n)?```(\\w+)( terminal)?\n(.*?)```")
	for _, b := range block.FindAllStringSubmatch(section, -1) {
		file, kind, terminal, text := b[1], b[2], b[3] != "", b[4]
		switch {
		case kind == "go":
			tour.write(file, text)
		case terminal:
			tour.serve(text)
		case kind == "sh":
			tour.run(text)
		case kind == "text":
			if tour.printed != text {
				t.Errorf("it printed\n%s\nand not\n%s", tour.printed, text)
			}
		}
	}
	if tour.commands != 5 || tour.files != 4 {
		t.Errorf("%d blocks of commands and %d files: is the pattern still right?", tour.commands, tour.files)
	}
}

type tour struct {
	*testing.T
	dir, address    string
	printed         string
	commands, files int
}

func (t *tour) write(file, text string) {
	if t.files++; file == "" {
		t.Fatalf("this file has no name:\n%s", text)
	}
	if err := os.WriteFile(filepath.Join(t.dir, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (t *tour) command(script string) *exec.Cmd {
	t.commands++
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "bash", "-e", "-c", script)
	c.Dir = t.dir
	c.Env = append(os.Environ(), "HIGHLANDER="+here, "GOFLAGS=-mod=mod")
	c.WaitDelay = 10 * time.Second
	return c
}

func (t *tour) run(script string) {
	c := t.command(script)
	var stdout, stderr strings.Builder
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("%s%v\n%s%s", script, err, &stdout, &stderr)
	}
	t.printed = stdout.String()
}

// serve starts what runs in another terminal, and waits until it can be called.
func (t *tour) serve(script string) {
	c := t.command("go build -o service .\nexec ./service") // which go run does too, but it does not hand signals on
	if script != "go run .\n" {
		t.Fatalf("%s is not what is started", script)
	}
	out, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	said, ended := "", make(chan struct{})
	go func() {
		defer close(ended)
		all, _ := io.ReadAll(out)
		said = fmt.Sprintf("%s: %v", all, c.Wait())
	}()
	t.Cleanup(func() {
		c.Process.Kill()
		<-ended
	})
	for {
		if conn, err := net.Dial("tcp", t.address); err == nil {
			conn.Close()
			return
		}
		select {
		case <-ended:
			t.Fatal(said)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
