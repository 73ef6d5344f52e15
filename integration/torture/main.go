// Command torture is a node for the tests under faults: it serves cells over HTTP.
//
//	POST /cells/ID/add?by=N      adds to the count; the answer has the state after it. An even N is added to the cell's mirror before that, by the cell
//	POST /cells/ID/swap?word=W   puts another word; the answer has the state before it
//	GET  /cells/ID               the state
//	GET  /mirrors/ID             the state of the mirror
//	POST /wake?prefix=P&n=N      reads so many cells, P0 and so on, that they are awake
//
// Calls with the same Idempotency-Key run once. A state is {"count", "word"}, and an answer has the name of the node that owned the cell, too. 503: nothing has changed. 504: the outcome is unknown.
// SIGTERM drains the node and ends the process with status 0.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/highlander-go/highlander"
	"github.com/highlander-go/highlander/object"
)

const (
	callTimeout  = 3 * time.Second // less than clients wait for an answer
	startTimeout = 30 * time.Second
	stopTimeout  = 25 * time.Second
)

// A cell is an object of which each change is known by its answer.
type cell struct {
	Count int64
	Word  string
}

type answer struct {
	Count int64  `json:"count"`
	Word  string `json:"word"`
	Node  string `json:"node"` // that owned the cell
}

func answered(ctx context.Context, c *cell) answer {
	return answer{c.Count, c.Word, object.From(ctx).Node}
}

var (
	add = object.Update("Add", func(ctx context.Context, c *cell, by int64) (answer, error) {
		if by%2 == 0 {
			if _, err := reflect.Call(ctx, mirrors.On(object.From(ctx)).Ref(object.From(ctx).Key.ID), by); err != nil {
				return answer{}, err
			}
		}
		c.Count += by
		return answered(ctx, c), nil
	})
	reflect = object.Update("Reflect", func(ctx context.Context, c *cell, by int64) (answer, error) {
		c.Count += by
		return answered(ctx, c), nil
	})
	swap = object.Update("Swap", func(ctx context.Context, c *cell, word string) (answer, error) {
		before := answered(ctx, c)
		c.Word = word
		return before, nil
	})
	get = object.Read("Get", func(ctx context.Context, c *cell, _ object.None) (answer, error) {
		return answered(ctx, c), nil
	})
	cells   = &object.Type[cell]{Name: "cell", Methods: []object.Method[cell]{add, swap, get}}
	mirrors = &object.Type[cell]{Name: "mirror", Methods: []object.Method[cell]{reflect, get}}
)

func main() {
	var c highlander.Config
	address := flag.String("http", "", "`address` to serve HTTP on")
	log := flag.String("log", "", "`file` that the log is appended to")
	flag.StringVar(&c.Name, "name", "", "the node's `name`")
	flag.StringVar(&c.Listen, "listen", "", "`address` for calls from other nodes")
	flag.StringVar(&c.Advertise, "advertise", "", "`address` by which others reach it")
	flag.StringVar(&c.Registry, "registry", "", "`url` of the registry")
	flag.StringVar(&c.Store, "store", "", "`url` of the store")
	flag.StringVar(&c.StateDir, "state", "", "`folder` for the proof that a former process is dead")
	flag.DurationVar(&c.Lease, "lease", 0, "of the node")
	flag.Parse()
	c.AllowPlaintext = true // in a network of its own
	stopped, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	out, err := os.OpenFile(*log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		c.Log = slog.New(slog.NewTextHandler(out, nil))
		err = syscall.Dup2(int(out.Fd()), 2) // for panics
	}
	if err == nil {
		err = serve(stopped, c, *address)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the node ends:", err)
		os.Exit(1)
	}
}

// serve is the whole program, until the context ends or the node does.
func serve(stopped context.Context, c highlander.Config, address string) error {
	starting, started := context.WithTimeout(stopped, startTimeout)
	node, err := highlander.Open(starting, c, cells, mirrors)
	started()
	if err != nil {
		return err
	}
	defer node.Close()
	server := &http.Server{Addr: address, Handler: handler(node)}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	c.Log.Info("listening")
	select {
	case <-stopped.Done():
	case <-node.Done():
		err = node.Err()
	case err = <-ended:
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	err = errors.Join(err, server.Shutdown(ctx), node.Drain(ctx))
	if end := <-ended; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

func handler(node *highlander.Node) http.Handler {
	all, mux := cells.On(node), http.NewServeMux()
	handle := func(pattern string, do func(ctx context.Context, r *http.Request) (answer, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
			defer cancel()
			if key := r.Header.Get("Idempotency-Key"); key != "" {
				ctx = object.WithRequestID(ctx, key)
			}
			a, err := do(ctx, r)
			switch {
			case err == nil:
				_ = json.NewEncoder(w).Encode(a) // who has gone away is not interested
			case errors.Is(err, object.ErrUnknownOutcome):
				http.Error(w, err.Error(), http.StatusGatewayTimeout)
			case errors.Is(err, object.ErrUnavailable), errors.Is(err, object.ErrOverloaded), errors.Is(err, object.ErrClosed):
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
			default:
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	handle("GET /readyz", func(context.Context, *http.Request) (answer, error) { return answer{}, node.Ready() })
	handle("GET /cells/{id}", func(ctx context.Context, r *http.Request) (answer, error) {
		return get.Call(ctx, all.Ref(r.PathValue("id")), object.None{})
	})
	handle("GET /mirrors/{id}", func(ctx context.Context, r *http.Request) (answer, error) {
		return get.Call(ctx, mirrors.On(node).Ref(r.PathValue("id")), object.None{})
	})
	handle("POST /cells/{id}/add", func(ctx context.Context, r *http.Request) (answer, error) {
		by, err := strconv.ParseInt(r.URL.Query().Get("by"), 10, 64)
		if err != nil {
			return answer{}, err
		}
		return add.Call(ctx, all.Ref(r.PathValue("id")), by)
	})
	handle("POST /cells/{id}/swap", func(ctx context.Context, r *http.Request) (answer, error) {
		return swap.Call(ctx, all.Ref(r.PathValue("id")), r.URL.Query().Get("word"))
	})
	handle("POST /wake", func(ctx context.Context, r *http.Request) (answer, error) {
		ids := make([]string, 0, 1<<10)
		n, err := strconv.Atoi(r.URL.Query().Get("n"))
		for i := range n {
			ids = append(ids, fmt.Sprint(r.URL.Query().Get("prefix"), i))
		}
		if err != nil {
			return answer{}, err
		}
		return answer{}, object.Each(ctx, ids, 64, func(ctx context.Context, id string) error {
			_, err := get.Call(ctx, all.Ref(id), object.None{})
			return err
		})
	})
	return mux
}
