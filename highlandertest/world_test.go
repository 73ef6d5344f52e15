package highlandertest_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/highlander-go/highlander"
)

func config(lease time.Duration) highlander.Config {
	return highlander.Config{Lease: lease, SessionTimeout: lease}
}

// A recording takes down what a test would be told.
type recording struct {
	testing.TB
	said  strings.Builder
	ended bool
}

func (r *recording) Errorf(format string, args ...any) { fmt.Fprintf(&r.said, format+"\n", args...) }
func (r *recording) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	r.ended = true
	runtime.Goexit()
}

// run runs what may end the test.
func (r *recording) run(f func()) {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	<-done
}
