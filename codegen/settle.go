package codegen

import (
	"fmt"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// locks are the lock files of a package, read as one table: a struct's lines move between files when it becomes an object, or is none any more.
type locks struct {
	dir    string
	files  map[string]*lockFile      // by the base of their names
	fields map[string][]*lockedField // by struct, in the order of files and lines
}

const lockHeader = "# Positions of fields and signatures of methods of %s objects, kept by objgen: commit this file. A position is its field's for ever."

const packageLock = "package" + lockSuffix

func at(path string, line int) token.Position { return token.Position{Filename: path, Line: line} }

// readLocks reads all locks of the directory.
func (g *generator) readLocks() {
	g.locks = &locks{dir: g.Dir, files: map[string]*lockFile{}, fields: map[string][]*lockedField{}}
	paths, err := filepath.Glob(filepath.Join(escape(g.Dir), "*"+lockSuffix))
	if err != nil {
		g.add(at(g.Dir, 0), "%v", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			g.add(at(path, 0), "%v", err)
			continue
		}
		name := filepath.Base(path)
		owner := strings.TrimSuffix(name, lockSuffix) // becomes the type's name when that is known
		if name == packageLock {
			owner = ""
		}
		l, found := parseLock(path, owner, string(text))
		g.problems = append(g.problems, found...)
		g.locks.files[name] = l
	}
}

// file returns the lock file of that name, a new one if there is none.
func (l *locks) file(name, owner, header string) *lockFile {
	f := l.files[name]
	if f == nil {
		f = &lockFile{path: filepath.Join(l.dir, name), header: []string{header}}
		l.files[name] = f
	}
	f.owner = owner
	return f
}

// settleLocks gives each field its position and each method its line, and reports what the locks do not allow.
func (g *generator) settleLocks() {
	if len(g.problems) > 0 {
		return
	}
	g.collectLines()
	g.checkLost()
	for _, o := range g.objects {
		o.lock = g.locks.file(snake(o.goName)+lockSuffix, o.goName, fmt.Sprintf(lockHeader, o.name))
		g.settleLayout(o)
	}
	for _, s := range g.order {
		if !s.old {
			g.settleFields(s)
		}
	}
	for _, o := range g.objects {
		g.settleMethods(o)
		o.lock.object, o.lock.layout = o.name, o.layout
	}
	g.matchUpgrades()
	g.distributeLines()
}

// collectLines puts the fields of all locks into one table.
func (g *generator) collectLines() {
	for _, name := range slices.Sorted(maps.Keys(g.locks.files)) {
		l := g.locks.files[name]
		if l.owner != "" {
			owner := g.structOfLock(name)
			if owner == nil {
				continue // of a type that is gone
			}
			for _, f := range l.fields {
				f.owner = owner.wire
			}
		}
		for _, f := range l.fields {
			g.locks.fields[f.owner] = append(g.locks.fields[f.owner], f)
		}
		l.fields = nil
	}
}

// structOfLock returns the struct whose fields the lock of a type is about, or nil if there is none of that name: an object, or one that was.
func (g *generator) structOfLock(file string) *structType {
	for _, o := range g.objects {
		if snake(o.goName)+lockSuffix == file {
			return o.state
		}
	}
	for _, s := range g.order {
		if s.named.Obj().Pkg() == g.Types && s.named.Obj().Exported() && snake(s.name)+lockSuffix == file {
			return s
		}
	}
	return nil
}

// checkLost notices positions that must not begin anew: the type has a new name in Go and the old one in keys, or its lock was not committed.
func (g *generator) checkLost() {
	for _, o := range g.objects {
		own := snake(o.goName) + lockSuffix
		if g.locks.files[own] != nil {
			continue
		}
		source := snake(o.goName) + goSuffix
		if _, err := os.Stat(filepath.Join(g.Dir, source)); err == nil {
			g.problem(o.pos, "%s has no lock, but %s was generated with one, %s: bring that back from version control, or, if nothing was stored yet, delete %[2]s", o.goName, source, own)
		}
		for _, name := range slices.Sorted(maps.Keys(g.locks.files)) {
			if g.locks.files[name].object == o.name {
				g.problem(o.pos, "%s has no lock, but %s has the positions of objects named %s: if the type was renamed, rename that file to %s, else delete it", o.goName, name, o.name, own)
			}
		}
	}
}

// settleLayout finds the number of the layout that is written: one more than the newest that has an upgrade, and never less than it was.
func (g *generator) settleLayout(o *object) {
	o.locked = o.lock.layout
	o.layout = max(o.locked, 1)
	for _, u := range o.upgrades {
		o.layout = max(o.layout, u.from+1)
	}
}

// distributeLines puts the table back into files: the fields of objects into their own, all others into that of the package.
func (g *generator) distributeLines() {
	rest := g.locks.file(packageLock, "", "# Positions of fields of structs that objects contain, kept by objgen: commit this file. A position is its field's for ever.")
	for _, owner := range slices.Sorted(maps.Keys(g.locks.fields)) {
		target := rest
		for _, o := range g.objects {
			if o.goName == owner {
				target = o.lock
			}
		}
		target.fields = append(target.fields, g.locks.fields[owner]...)
	}
}

// lockFiles returns the locks as they should be.
func (g *generator) lockFiles() []File {
	var files []File
	for _, name := range slices.Sorted(maps.Keys(g.locks.files)) {
		l := g.locks.files[name]
		if name == packageLock && len(l.fields) == 0 && !l.found {
			continue
		}
		files = append(files, File{l.path, l.format()})
	}
	return files
}
