package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/highlander-go/highlander/internal/upgradetest"
)

// A remote is the application as a process serves it.
type remote struct{ *node }

func (r remote) Do(ctx context.Context, op upgradetest.Op) (a upgradetest.Answer, err error) {
	body, err := json.Marshal(op)
	if err != nil {
		return a, err
	}
	status, said, err := call(ctx, "", http.MethodPost, r.URL()+"/do", string(body))
	if err != nil {
		return a, err
	}
	if status != http.StatusOK {
		return a, &statusError{status, strings.TrimSpace(string(said))}
	}
	return a, json.Unmarshal(said, &a)
}

// Figures: processes of an application change from the first version to the second, and back, and to the second again, one after the other under load, as many
// times as HIGHLANDER_COUNT says. No call may fail, and nothing may be lost.
func TestRollingUpgradeAndRollbackOfProcesses(t *testing.T) {
	p := newPlace(t, "")
	var nodes []*node
	var entrances []*upgradetest.Entrance
	for i := range 3 {
		n := p.node(t, fmt.Sprint("n", i+1), "-version", "1")
		n.program = shared.upgrade
		n.launch()
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		n.await()
		entrances = append(entrances, upgradetest.NewEntrance(remote{n}, 1))
	}
	began, rolls := time.Now(), 0
	load := upgradetest.Start(t, entrances)
	roll := func(version int) {
		load.Mixed(true)
		for i, n := range nodes {
			load.Progress(300)
			entrances[i].Replace(version, func() upgradetest.App {
				n.stop()
				n.args = append(n.args, "-version", fmt.Sprint(version)) // the last one counts
				n.start()
				return remote{n}
			})
			rolls++
		}
		load.Mixed(false)
		load.Progress(300)
		load.Visit(entrances[version])
	}
	load.Visit(entrances[0])
	roll(2)
	for range count(t, 1) {
		roll(1)
		roll(2)
	}
	took := time.Since(began)
	load.Check(entrances[0])
	t.Logf("%d processes replaced in %v: %+v", rolls, took.Round(time.Second), load.Counts)
}
