// Command todo serves users, lists of todos, todos and counters over HTTP. Each of them is a durable object: see package todo below it.
//
//	todo -http 127.0.0.1:8080 -store file:todo-data
//
//	curl -X PUT http://127.0.0.1:8080/todos/milk -d '{"title":"buy milk"}'
//	curl -X POST http://127.0.0.1:8080/todos/milk/complete
//
// SIGTERM or SIGINT lets requests finish, releases all objects and ends the process with status 0.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/highlander-go/highlander"
	"github.com/highlander-go/highlander/examples/todo/todo"
	"github.com/highlander-go/highlander/object"
)

const (
	startTimeout   = 30 * time.Second // of what must answer before the service starts: registry and store
	stopTimeout    = 25 * time.Second // of all that follows a SIGTERM
	requestTimeout = 12 * time.Second // how much of it requests may take: more than callTimeout
)

// A config is what the flags say.
type config struct {
	http string
	node highlander.Config
	idle time.Duration
}

func main() {
	os.Exit(run(os.Args[1:], os.Getenv, os.Stderr))
}

// run is the whole program. It returns the status to exit with: 2 when the flags are wrong.
func run(args []string, getenv func(string) string, stderr io.Writer) int {
	c, err := parse(args, getenv, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "todo: %v\n", err)
		return 2
	}
	c.node.Log = slog.New(slog.NewTextHandler(stderr, nil))
	stopped, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	context.AfterFunc(stopped, cancel) // a second signal ends the process at once
	if err := serve(stopped, c); err != nil {
		c.node.Log.Error("the service ends", "error", err)
		return 1
	}
	return 0
}

// parse reads the flags. One that is not given is taken from the environment: -http from HIGHLANDER_HTTP.
func parse(args []string, getenv func(string) string, stderr io.Writer) (config, error) {
	var c config
	flags := flag.NewFlagSet("todo", flag.ContinueOnError)
	flags.StringVar(&c.http, "http", "127.0.0.1:8080", "`address` to serve HTTP on; port 0: any that is free")
	flags.StringVar(&c.node.Cluster, "cluster", "", "the cluster's `name`: nodes of other clusters are refused (default highlander)")
	flags.StringVar(&c.node.Listen, "listen", "127.0.0.1:0", "`address` for calls from other nodes; port 0: any that is free")
	flags.StringVar(&c.node.Advertise, "advertise", "", "`address` by which other nodes reach -listen (default: the same)")
	flags.BoolVar(&c.node.AllowPlaintext, "plaintext", false, "allow -listen where other machines reach it, though nothing is encrypted and nobody proves who they are")
	flags.StringVar(&c.node.Registry, "registry", "mem:", "`url` of what says who owns what; mem: this process alone, or zk://HOST:PORT,HOST:PORT/ROOT")
	flags.StringVar(&c.node.Store, "store", "file:todo-data", "`url` of what holds the objects; file:DIR, mem: or s3://BUCKET/PREFIX")
	flags.StringVar(&c.node.StateDir, "state", "", "`folder` on a local disk by which a node that was killed and is started again need not wait for itself; with zk: only")
	flags.StringVar(&c.node.Name, "name", "", "the node's `name` (default: the host's name)")
	flags.DurationVar(&c.node.Lease, "lease", 0, "how long the node may answer from memory after the registry has heard of it (default 2s)")
	flags.DurationVar(&c.idle, "idle", object.DefaultIdle, "how long an object that nobody calls stays in memory; negative: for ever")
	flags.SetOutput(io.Discard) // errors are printed by run
	var wrong []error
	flags.VisitAll(func(f *flag.Flag) {
		f.Usage += " (env " + variable(f) + ")"
	})
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			flags.SetOutput(stderr)
			flags.PrintDefaults()
		}
		return c, err
	}
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	flags.VisitAll(func(f *flag.Flag) {
		if value := getenv(variable(f)); value != "" && !given[f.Name] {
			if err := f.Value.Set(value); err != nil {
				wrong = append(wrong, fmt.Errorf("environment: %s=%q: %w", variable(f), value, err))
			}
		}
	})
	if flags.NArg() > 0 {
		wrong = append(wrong, fmt.Errorf("unexpected argument %q: there are only flags, see -help", flags.Arg(0)))
	}
	if c.idle == 0 && wrong == nil {
		wrong = append(wrong, errors.New("-idle 0: give a duration such as 10m, or a negative one to keep objects in memory"))
	}
	return c, errors.Join(wrong...)
}

// variable is the name of the flag's environment variable.
func variable(f *flag.Flag) string { return "HIGHLANDER_" + strings.ToUpper(f.Name) }

// serve opens the node and serves HTTP until the context ends or the node does, and then stops both.
func serve(stopped context.Context, c config) error {
	objects := todo.Objects
	for _, name := range []string{"counter", "list", "todo", "user"} {
		objects = objects.With(name, object.Options{Idle: c.idle})
	}
	starting, started := context.WithTimeout(stopped, startTimeout)
	node, err := highlander.Open(starting, c.node, objects)
	started()
	if err != nil && stopped.Err() != nil {
		return nil // told to stop before it had started
	}
	if err != nil {
		return err
	}
	defer node.Close()
	listener, err := net.Listen("tcp", c.http)
	if err != nil {
		return fmt.Errorf("-http %s: %w: choose another address", c.http, err)
	}
	server := &http.Server{
		Handler:           newService(node),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       callTimeout,
		WriteTimeout:      3 * callTimeout,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(c.node.Log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	c.node.Log.Info("listening", "address", listener.Addr().String(), "node", node.Name())

	select {
	case <-stopped.Done():
		c.node.Log.Info("stopping: requests finish, objects are released")
	case <-node.Done():
		err = node.Err()
	case err = <-ended:
		ended <- err
	}
	err = errors.Join(err, stop(server, node, c.node.Log))
	if end := <-ended; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

// stop lets requests finish, then drains the node.
func stop(server *http.Server, node *highlander.Node, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	requests, enough := context.WithTimeout(ctx, requestTimeout)
	defer enough()
	if err := server.Shutdown(requests); err != nil {
		log.Warn("some clients were too slow: their connections are cut", "error", err)
		server.Close()
	}
	return node.Drain(ctx)
}
