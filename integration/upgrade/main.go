// Command upgrade is a node of the application of package upgradetest, in one of its versions, which it serves over HTTP: POST /do takes an
// upgradetest.Op as JSON and answers with an Answer. SIGTERM drains the node and ends the process with status 0.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/highlander-go/highlander"
	"github.com/highlander-go/highlander/internal/upgradetest"
)

const (
	callTimeout  = 10 * time.Second
	startTimeout = 30 * time.Second
	stopTimeout  = 25 * time.Second
)

func main() {
	var c highlander.Config
	address := flag.String("http", "", "`address` to serve HTTP on")
	version := flag.Int("version", 1, "of the application, 1 to 3")
	flag.StringVar(&c.Name, "name", "", "the node's `name`")
	flag.StringVar(&c.Listen, "listen", "", "`address` for calls from other nodes")
	flag.StringVar(&c.Registry, "registry", "", "`url` of the registry")
	flag.StringVar(&c.Store, "store", "", "`url` of the store")
	flag.Parse()
	c.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	stopped, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	if err := serve(stopped, c, *address, *version); err != nil {
		c.Log.Error("the node ends", "error", err)
		os.Exit(1)
	}
}

// serve is the whole program, until the context ends or the node does.
func serve(stopped context.Context, c highlander.Config, address string, version int) error {
	starting, started := context.WithTimeout(stopped, startTimeout)
	node, err := highlander.Open(starting, c, upgradetest.Objects(version))
	started()
	if err != nil {
		return err
	}
	defer node.Close()
	server := &http.Server{Addr: address, Handler: handler(node, upgradetest.Through(node, version))}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
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

func handler(node *highlander.Node, app upgradetest.App) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := node.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("POST /do", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
		defer cancel()
		var op upgradetest.Op
		if err := json.NewDecoder(r.Body).Decode(&op); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer, err := app.Do(ctx, op)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(answer) // who has gone away is not interested
	})
	return mux
}
