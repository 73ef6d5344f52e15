package object

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

func TestOwnersAreRememberedWithinBounds(t *testing.T) {
	var o owners
	keyOf := func(i int) (Key, uint64) {
		k := Key{"t", strconv.Itoa(i)}
		return k, hashOf(k)
	}
	m := &Member{Incarnation: uuid.New()}
	used, usedHash := keyOf(-1)
	o.put(used, usedHash, m)
	const all = 5 * 2 * ownerShards * ownersPerShard
	for i := range all {
		k, h := keyOf(i)
		o.put(k, h, m)
		if o.get(k, h) != m {
			t.Fatalf("%d is forgotten at once", i)
		}
		if o.get(used, usedHash) != m {
			t.Fatalf("what is in use is forgotten after %d others", i)
		}
	}
	kept := 0
	for i := range o {
		kept += len(o[i].young) + len(o[i].old)
		if n := max(len(o[i].young), len(o[i].old)); n > ownersPerShard {
			t.Errorf("a generation of %d", n)
		}
	}
	if most := 2 * ownerShards * ownersPerShard; kept > most || kept < most/3 {
		t.Errorf("%d of %d are kept; the bound is %d", kept, all, most)
	}
	if n := testing.AllocsPerRun(100, func() { o.get(used, usedHash) }); n > 0 {
		t.Errorf("a hit allocates %v times", n)
	}
	o.drop(used, usedHash, uuid.New())
	if o.get(used, usedHash) != m {
		t.Error("an owner was dropped for another one's fault")
	}
	o.drop(used, usedHash, m.Incarnation)
	if o.get(used, usedHash) != nil {
		t.Error("an owner that proved wrong is still there")
	}
}

func TestOneCallAtATimeTriesAPeerThatWasNotReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p peers
		id := uuid.New()
		for range 2 {
			if !p.tries(id) {
				t.Error("a peer of which nothing is known is not called")
			}
		}
		p.failed(id)
		if p.tries(id) {
			t.Error("called again at once")
		}
		time.Sleep(firstAvoidance)
		if !p.tries(id) || p.tries(id) {
			t.Error("want one call to be let through")
		}
		for range 100 {
			p.failed(id)
		}
		time.Sleep(mostAvoidance)
		if !p.tries(id) {
			t.Errorf("not tried again after %v", mostAvoidance)
		}
		p.reached(id)
		for range 2 {
			if !p.tries(id) {
				t.Error("a peer that has answered is not called")
			}
		}
		for range 2 * maxPeers {
			p.left(uuid.New())
		}
		if len(p.m) > maxPeers {
			t.Errorf("%d peers are remembered", len(p.m))
		}
	})
}

// Nodes of all versions and machines must agree on where an object wakes: these numbers, found by another program, never change.
func TestWeightsAreTheSameEverywhere(t *testing.T) {
	id := uuid.MustParse("00112233-4455-6677-8899-aabbccddeeff")
	for key, want := range map[Key]uint64{
		{"list", "a"}: 0xe5d8ff62ca95b25d,
		{"lis", "ta"}: 0x5a7ba9fda5a04008,
		{"user", "é"}: 0x8355a7784542abdb,
	} {
		if got := weightOf(hashOf(key), id); got != want {
			t.Errorf("the weight of %v is %#x, want %#x", key, got, want)
		}
	}
}

// Keys and incarnations that hardly differ are spread as any others.
func TestWeightsSpread(t *testing.T) {
	const nodes, keys = 5, 20000
	var ids [nodes]uuid.UUID
	for i := range ids {
		ids[i][15] = byte(i)
	}
	place := func(k int, n int) (best int) {
		h := hashOf(Key{"t", strconv.Itoa(k)})
		for i := range ids[:n] {
			if weightOf(h, ids[i]) > weightOf(h, ids[best]) {
				best = i
			}
		}
		return best
	}
	var placed [nodes]int
	for k := range keys {
		was, is := place(k, nodes-1), place(k, nodes)
		placed[is]++
		if is != was && is != nodes-1 {
			t.Fatalf("key %d moved from node %d to %d when another one came", k, was, is)
		}
	}
	for i, n := range placed {
		if n < keys/nodes*9/10 || n > keys/nodes*11/10 {
			t.Errorf("node %d has %d of %d keys", i, n, keys)
		}
	}
}
