package highlander_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/highlander-go/highlander"
	"github.com/highlander-go/highlander/highlandertest"
	"github.com/highlander-go/highlander/internal/upgradetest"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
)

// A fleet is three nodes of an application, and clients that call it through all of them.
type fleet struct {
	*testing.T
	*highlandertest.Cluster
	entrances []*upgradetest.Entrance
	load      *upgradetest.Load
}

// newFleet starts nodes of the version. The first one takes all objects that it can have.
func newFleet(t *testing.T, version int) *fleet {
	first := func(i int, config *highlander.Config) {
		if i == 0 {
			config.Placement = object.PreferLocal
		}
	}
	f := &fleet{T: t, Cluster: highlandertest.Options{Node: first}.Start(t, 3, upgradetest.Objects(version))}
	for i := range f.Len() {
		f.entrances = append(f.entrances, upgradetest.NewEntrance(upgradetest.Through(f.Node(i), version), version))
	}
	f.load = upgradetest.Start(t, f.entrances)
	return f
}

// roll replaces one node after the other by one of the version.
func (f *fleet) roll(version int) {
	f.load.Mixed(true)
	for i := range f.entrances {
		f.load.Progress(300)
		f.replace(i, version)
	}
	f.load.Mixed(false)
	f.load.Progress(300)
}

func (f *fleet) replace(i, version int) {
	f.entrances[i].Replace(version, func() upgradetest.App {
		if err := f.Node(i).Drain(f.Context()); err != nil {
			f.Error(err)
		}
		return upgradetest.Through(f.Restart(i, upgradetest.Objects(version)), version)
	})
}

// From the first version to the second, back, and to the second again, while clients call all nodes: no call fails, and nothing that the second version has
// written is lost to what the first one writes.
func TestRollingUpgradeAndRollback(t *testing.T) {
	f := newFleet(t, 1)
	f.load.Visit(f.entrances[0])
	for _, version := range []int{2, 1, 2} {
		f.roll(version)
		f.load.Visit(f.entrances[version])
	}
	f.load.Check(f.entrances[0])
	c := f.load.Counts
	t.Logf("%+v", c)
	if c.Carried < 100 || c.Refused == 0 || c.Dropped == 0 {
		t.Errorf("the calls had nothing to lose: %+v", c)
	}
}

// To a version that writes documents in another layout: nothing is written in it while a node lives that could not read it. When such a node comes back after that,
// it refuses the documents and leaves them as they are.
func TestRollingUpgradeToAnotherLayout(t *testing.T) {
	f := newFleet(t, 2)
	f.load.Visit(f.entrances[0])
	f.load.Mixed(true)
	for i := range f.entrances {
		f.load.Progress(300)
		f.mustLayout(1)
		f.replace(i, 3)
	}
	f.load.Mixed(false)
	f.load.Visit(f.entrances[1])
	f.load.TouchAll(f.entrances[1])
	f.mustLayout(2)

	f.load.Mixed(true)
	late := f.Node(f.Add(highlander.Config{Placement: object.PreferLocal}, upgradetest.Objects(2)))
	f.load.Progress(300)
	f.mustRefuse(late, upgradetest.Get) // whoever owns them, their state is none that this version reads
	for i := range f.entrances {
		f.entrances[i].Close()
		if err := f.Node(i).Drain(t.Context()); err != nil {
			t.Error(err)
		}
	}
	before := f.documents()
	for _, kind := range []upgradetest.Kind{upgradetest.Get, upgradetest.Summary, upgradetest.Rename} {
		f.mustRefuse(late, kind)
	}
	if after := f.documents(); !maps.EqualFunc(before, after, bytes.Equal) {
		t.Error("a node that cannot read them has changed documents")
	}
	young := f.Node(f.Add(highlander.Config{}, upgradetest.Objects(3)))
	f.load.Check(upgradetest.NewEntrance(upgradetest.Through(young, 3), 3))
	t.Logf("%+v", f.load.Counts)
}

// mustLayout checks the layout of all documents that have been written.
func (f *fleet) mustLayout(want uint32) {
	f.Helper()
	written := 0
	for id, blob := range f.documents() {
		r, _, err := persist.DecodeRecord(object.Key{Type: "document", ID: id}, blob)
		if err != nil || r.Layout != want {
			f.Errorf("%s is of layout %d, %v; want %d", id, r.Layout, err, want)
		}
		written++
	}
	if written < 10 {
		f.Errorf("only %d documents have been written", written)
	}
}

// documents returns what the store has of them.
func (f *fleet) documents() map[string][]byte {
	f.Helper()
	blobs := make(map[string][]byte)
	for _, id := range f.load.Documents() {
		if blob := f.Stored("document", id); blob != nil {
			blobs[id] = blob
		}
	}
	return blobs
}

// mustRefuse checks that calls of documents through the node, which is of version 2, fail as it does not know their layout.
func (f *fleet) mustRefuse(n *highlander.Node, kind upgradetest.Kind) {
	f.Helper()
	for _, id := range f.load.Documents() {
		ctx, cancel := context.WithTimeout(f.Context(), 10*time.Second)
		_, err := upgradetest.Through(n, 2).Do(ctx, upgradetest.Op{Kind: kind, ID: id, Title: "of the past"})
		cancel()
		if !errors.Is(err, object.ErrUnavailable) || !strings.Contains(err.Error(), "layout 2, this program reads up to 1") {
			f.Errorf("%s of %s at a node of the older version: %v", kind, id, err)
		}
	}
}
