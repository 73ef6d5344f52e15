package object

import (
	"context"
	"errors"
	"fmt"
)

// While versions of a program run side by side that write different layouts of a type, an object is written by those of the lowest layout that
// can read it. The others own none that they would have to raise.

// mayRaise tells whether the state of key, of that layout, may be written in the one of this program, if that is higher: no live member that serves the
// type reads the one and not the other.
func (t *table) mayRaise(ctx context.Context, key Key, layout uint32) error {
	if layout >= t.def.layout {
		return nil
	}
	members, err := t.host.config.Registry.Members(ctx)
	if err != nil {
		return unavailable(key, fmt.Errorf("the members are not known: %w", err))
	}
	for i := range members {
		if s := members[i].serves(key.Type); s != nil && layout <= s.Layout && s.Layout < t.def.layout {
			return unavailable(key, fmt.Errorf("node %s reads layouts up to %d: until all members read more, those of its version serve the object, and not node %s, which writes layout %d",
				members[i].Name, s.Layout, t.host.config.Node, t.def.layout))
		}
	}
	return nil
}

// yield gives an object up that this node must not write, as a member has come that could not read it. What was accepted is finished, which may raise
// the state yet: who calls next finds out, here or there.
func (t *table) yield(ctx context.Context, a *activation) {
	snap := a.committed.Load()
	if snap == nil || t.mayRaise(ctx, a.key(), snap.layout) == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase == awake {
		change := a.beginRelease()
		a.serving.workers.Go(func() { a.finishRelease(a.serving.ctx, change, false) })
	}
}

// serves returns what the member says of the type, nil if it does not serve it.
func (m *Member) serves(typ string) *Served {
	for i := range m.Types {
		if m.Types[i].Type == typ {
			return &m.Types[i]
		}
	}
	return nil
}

// layout is that of the state in the record, 0 if there is none: a new state may be of any.
func (r *Record) layout() uint32 {
	if r == nil || r.Deleted {
		return 0
	}
	return r.Layout
}

// A newerLayoutError says that a state is of a layout that came after this program.
type newerLayoutError struct{ layout, reads uint32 }

func (e *newerLayoutError) Error() string {
	return fmt.Sprintf("its state has layout %d, this program reads up to %d: call the object through nodes that run a newer version", e.layout, e.reads)
}

// newerIn returns the newerLayoutError in err, nil if there is none: nothing is wrong with the bytes that a reader says more of.
func newerIn(err error) error {
	if newer := (*newerLayoutError)(nil); errors.As(err, &newer) {
		return newer
	}
	return nil
}
