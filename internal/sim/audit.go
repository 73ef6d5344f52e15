package sim

import (
	"cmp"
	"slices"
)

// audit looks for what no call alone can show.
func (w *world) audit() {
	chains := w.auditPuts()
	w.auditReads()
	w.auditVersions(chains)
}

// auditPuts follows the records of each object: an epoch has one writer, epochs and versions count up by one.
func (w *world) auditPuts() map[string][]Put {
	chains := make(map[string][]Put)
	for _, p := range w.cluster.store.puts {
		if p.Err != nil {
			continue
		}
		chain := chains[p.Name]
		if n := len(chain); n > 0 {
			last := chain[n-1].Record
			epoch := last.Epoch + 1
			if last.Incarnation == p.Record.Incarnation {
				epoch = last.Epoch
			}
			if p.Record.Epoch != epoch || p.Record.Version != last.Version+1 {
				w.violated("%v follows %v", p, chain[n-1])
			}
		} else if p.Record.Epoch != 1 || p.Record.Version != 1 {
			w.violated("%v is the first record", p)
		}
		chains[p.Name] = append(chain, p)
	}
	return chains
}

// Shown tells whether the word is in a record that the store has taken, or in what an operation shows: the one of updates that share a
// record may see what another one changes again.
func (r *Result) Shown(word string) bool {
	return slices.ContainsFunc(r.Puts, func(p Put) bool { return p.Err == nil && doc(p.Text).has(word) }) ||
		slices.ContainsFunc(r.Ops, func(o *Op) bool { return doc(o.Text).has(word) })
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
func (w *world) auditVersions(chains map[string][]Put) {
	for _, op := range w.cluster.ops {
		if op.Kind != Get || op.Outcome != OK {
			continue
		}
		text := ""
		if v := op.Version; v > uint64(len(chains[op.Key])) {
			w.violated("%v shows version %d, which was never written", op, v)
			continue
		} else if v > 0 {
			text = chains[op.Key][v-1].Text
		}
		if text != op.Text {
			w.violated("%v shows %q as version %d, which is %q", op, op.Text, op.Version, text)
		}
	}
}
