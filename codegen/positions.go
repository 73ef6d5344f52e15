package codegen

import (
	"fmt"
	"path/filepath"
	"slices"
)

// settleFields gives the struct's fields their positions: those of the locks, and new ones at the end.
func (g *generator) settleFields(s *structType) {
	lines, ok := g.checkLines(g.locks.fields[s.wire])
	if !ok {
		return
	}
	upgraded := g.upgradedFrom(s)
	live := map[string]*lockedField{}
	for _, l := range lines {
		if l.live() {
			live[l.name] = l
		}
	}
	next := nextPosition(lines)
	fields := map[int]*field{}
	for _, f := range s.fields {
		l, wire := live[f.name], f.form.wire()
		delete(live, f.name)
		if l != nil && l.wire != wire {
			if upgraded == 0 {
				g.retyped(s, f, l)
				continue
			}
			l.until, l = upgraded, nil
		}
		if l == nil {
			l = &lockedField{owner: s.wire, position: next, name: f.name, wire: wire}
			next++
			lines = append(lines, l)
		}
		fields[l.position] = f
	}
	for _, l := range live {
		l.retired = true
	}
	g.locks.fields[s.wire] = lines
	s.slots = make([]slot, next)
	for _, l := range lines {
		s.slots[l.position] = slot{fields[l.position], l.until != 0}
	}
}

// retyped reports a field whose values would be misread.
func (g *generator) retyped(s *structType, f *field, l *lockedField) {
	upgrade := ""
	for _, o := range g.containing(s) {
		if o.locked == 0 || o.layout > o.locked {
			continue
		}
		if upgrade == "" {
			upgrade = "or keep the old struct and write a function with "
		} else {
			upgrade += " and one with "
		}
		upgrade += fmt.Sprintf("%supgrade %d for %s", directivePrefix, o.locked, o.goName)
	}
	if upgrade != "" {
		upgrade += ", "
	}
	g.problem(f.pos, "field %s of %s was %s and is now %s (%s): give the field another name, %sor, if nothing was stored with it yet, delete that line",
		f.name, s.wire, l.wire, f.form.wire(), l.origin, upgrade)
}

// containing returns the objects whose states can contain s.
func (g *generator) containing(s *structType) []*object {
	var objects []*object
	for _, o := range g.objects {
		contains := false
		o.state.reaches(func(inner *structType) { contains = contains || inner == s })
		if contains {
			objects = append(objects, o)
		}
	}
	return objects
}

// nextPosition is one more than the highest that was ever given.
func nextPosition(lines []*lockedField) int {
	next := 0
	for _, l := range lines {
		next = max(next, l.position+1)
	}
	return next
}

// checkLines reports positions that two branches have given, and fields that have two. Lines that say the same count once.
func (g *generator) checkLines(lines []*lockedField) (distinct []*lockedField, ok bool) {
	ok = true
	positions, live := map[int]*lockedField{}, map[string]*lockedField{}
	for _, l := range lines {
		other := positions[l.position]
		if other != nil && other.String() == l.String() {
			continue
		}
		if other != nil {
			g.add(at(l.path, l.line), "position %d of %s belongs to %s (%s) and to %s: change the line of the one that nothing was stored with yet to position %d",
				l.position, l.owner, other.name, other.origin, l.name, nextPosition(lines))
			ok = false
		} else if twin := live[l.name]; twin != nil && l.live() {
			g.add(at(l.path, l.line), "field %s of %s has position %d (%s) and position %d: delete the line that nothing was stored with yet",
				l.name, l.owner, twin.position, twin.origin, l.position)
			ok = false
		}
		positions[l.position] = l
		if l.live() {
			live[l.name] = l
		}
		distinct = append(distinct, l)
	}
	return distinct, ok
}

// upgradedFrom returns the layout of states that upgrade functions read in place of s, if all objects that contain s have raised their layout; else 0.
func (g *generator) upgradedFrom(s *structType) uint32 {
	from := uint32(0)
	for _, o := range g.containing(s) {
		if o.locked != 0 && o.layout == o.locked {
			return 0
		}
		from = max(from, o.locked) // 0 of one that is new: it has no states yet
	}
	return from
}

// settleMethods brings the lock's methods up to date, unless callers of other versions would be misunderstood.
func (g *generator) settleMethods(o *object) {
	lines := map[string]*lockedMethod{}
	o.lock.methods = slices.DeleteFunc(o.lock.methods, func(l *lockedMethod) bool {
		other := lines[l.name]
		if other == nil {
			lines[l.name] = l
		} else if other.String() != l.String() {
			g.add(at(l.path, l.line), "method %s has two lines (%s): delete the one that is not of the program that runs", l.name, other.origin)
		}
		return other != nil
	})
	for _, m := range o.methods {
		now := m.locked()
		l := lines[m.name]
		delete(lines, m.name)
		if l == nil {
			o.lock.methods = append(o.lock.methods, now)
			continue
		}
		if l.kind != now.kind || !extends(l.args, now.args) || !extends(l.results, now.results) {
			was, is := *l, *now
			was.retired = false
			g.problem(m.decl.Name.Pos(), "method %s was %s and is now %s (%s), which callers of the other version would not understand: arguments and results can only be added or removed at the end; give it another name, or, if no program with it runs, delete that line",
				m.doc(), was.describe(), is.describe(), l.origin)
			continue
		}
		now.origin = l.origin
		*l = *now
	}
	for _, l := range lines {
		l.retired = true
	}
}

// describe is the line without the name.
func (m *lockedMethod) describe() string { return m.String()[len(m.name)+1:] }

// locked is the method's line.
func (m *method) locked() *lockedMethod {
	l := &lockedMethod{name: m.name, kind: "update", hasError: m.hasError}
	if m.read {
		l.kind = "read"
	}
	for _, f := range m.args.fields {
		l.args = append(l.args, f.form.wire())
	}
	for _, f := range m.results.fields {
		l.results = append(l.results, f.form.wire())
	}
	return l
}

// extends tells whether one list begins with the other.
func extends(a, b []string) bool {
	n := min(len(a), len(b))
	return slices.Equal(a[:n], b[:n])
}

func (o origin) String() string {
	return fmt.Sprintf("%s:%d", filepath.Base(o.path), o.line)
}
