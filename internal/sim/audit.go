package sim

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/highlander-go/highlander/object"
)

// audit looks for what no call alone can show.
func (w *world) audit() {
	w.auditPuts()
	w.auditReads()
	w.auditVersions()
	w.auditReleases()
	w.auditForwards()
}

// auditPuts follows the records of each object: an epoch has one writer, epochs and versions count up by one.
// What is purged is a tombstone of a deletion that was asked for longer ago than the objects' idle time; then they begin anew.
func (w *world) auditPuts() {
	newest := make(map[string]Put)
	for _, p := range w.cluster.store.puts {
		if p.Err != nil {
			continue
		}
		before, exists := newest[p.Name]
		last := before.Record
		switch epoch := last.Epoch + 1; {
		case p.Purge:
			if !last.Deleted || !w.deletedBefore(before, p.At-w.idle) {
				w.violated("%v at %v was purged at %v", before, before.At, p.At)
			}
			if len(last.Requests) > 0 && p.At-before.At < object.KeptRequests {
				w.violated("%v at %v was purged at %v, and with it the results of updates", before, before.At, p.At)
			}
			delete(newest, p.Name)
			continue
		case exists:
			if last.Incarnation == p.Record.Incarnation {
				epoch = last.Epoch
			}
			if p.Record.Epoch != epoch || p.Record.Version != last.Version+1 {
				w.violated("%v follows %v", p, before)
			}
			if strings.Count(p.Text, " ") > strings.Count(before.Text, " ")+1 && strings.HasPrefix(p.Text, before.Text) {
				w.seen["put of several updates"]++
			}
		case p.Record.Epoch != 1 || p.Record.Version != 1:
			w.violated("%v is the first record", p)
		}
		if p.Record.Deleted {
			w.seen["tombstone"]++
		}
		newest[p.Name] = p
	}
}

// deletedBefore tells whether the tombstone may be that of a deletion that was called before then.
func (w *world) deletedBefore(tombstone Put, then time.Duration) bool {
	return slices.ContainsFunc(w.cluster.ops, func(op *Op) bool {
		return op.Kind == Delete && op.Key == tombstone.Name && op.Call < then && (op.Outcome != OK || op.Return >= tombstone.At)
	})
}

// auditReleases looks whether objects were let go before what they had accepted was finished, though there was time for it.
func (w *world) auditReleases() {
	for _, p := range w.cluster.all {
		if !p.late && len(p.unfinished) > 0 {
			w.violated("%s has given up updates, and no drain was late: %s", p.name, p.unfinished[0])
		}
	}
}

// Shown tells whether the word is in a record that the store has taken, or in what an operation shows: the one of updates that share a
// record may see what another one changes again.
func (r *Result) Shown(word string) bool {
	return slices.ContainsFunc(r.Puts, func(p Put) bool { return p.Err == nil && doc(p.Text).has(word) }) ||
		slices.ContainsFunc(r.Ops, func(o *Op) bool { return doc(o.Text).has(word) })
}

// auditForwards checks that an update which calls another object has had its effects there when it has one itself.
func (w *world) auditForwards() {
	blind := make(map[string]bool)
	for _, op := range w.cluster.ops {
		blind[op.Key] = blind[op.Key] || op.Kind == Replace || op.Kind == PutIf || op.Kind == Delete
	}
	stored := func(key, word string) bool {
		return slices.ContainsFunc(w.cluster.store.puts, func(p Put) bool { return p.Name == key && p.Err == nil && doc(p.Text).has(word) })
	}
	for _, op := range w.cluster.ops {
		for _, other := range op.other {
			if !blind[other.Key] && stored(op.Key, op.Arg) && !stored(other.Key, other.Arg) {
				w.violated("%v has had an effect, but not %q on %s", op, other.Arg, other.Key)
			}
		}
	}
}

// auditReads checks that no activation is answered from after another one was.
func (w *world) auditReads() {
	reads := make(map[string][]*Op)
	for _, op := range w.cluster.ops {
		if op.Kind.Reads() && op.Outcome == OK {
			reads[op.Key] = append(reads[op.Key], op)
		}
	}
	for _, ops := range reads {
		slices.SortFunc(ops, func(a, b *Op) int { return cmp.Compare(a.sampled, b.sampled) })
		for _, op := range ops {
			for _, p := range w.cluster.all {
				if m := p.under[op.by]; m != nil && p.machine.stops && m.disconnected > 0 && op.sampled > m.disconnected {
					w.violated("%v was answered from a session that was disconnected at %v, although StopOnDisconnect is set", op, m.disconnected)
				}
			}
		}
		over := make(map[string]*Op)
		for i, op := range ops {
			if next := over[op.by]; next != nil {
				w.violated("two owners: %v was answered from after %v", op, next)
				break
			}
			if i > 0 && ops[i-1].by != op.by {
				over[ops[i-1].by] = op
			}
		}
	}
}

// auditVersions checks that what was read with a version is what was written with it.
func (w *world) auditVersions() {
	type version struct {
		key  string
		n    uint64
		text string
	}
	written := make(map[version]bool)
	purged := make(map[string][]time.Duration)
	for _, p := range w.cluster.store.puts {
		switch {
		case p.Err != nil:
		case p.Purge:
			purged[p.Name] = append(purged[p.Name], p.At)
		default:
			written[version{p.Name, p.Record.Version, p.Text}] = true
		}
	}
	for _, op := range w.cluster.ops {
		if op.Kind == Get && op.Outcome == OK && !written[version{op.Key, op.Version, op.Text}] && (op.Version > 0 || op.Text != "") {
			w.violated("%v shows %q as version %d, which was never written", op, op.Text, op.Version)
		}
		op.Loose = op.Kind == PutIf && slices.ContainsFunc(purged[op.Key], func(at time.Duration) bool {
			return at > op.read && (at < op.Return || op.Outcome == Pending || op.Outcome == Unknown)
		})
	}
}
