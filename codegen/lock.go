package codegen

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A lock file holds one fact a line, so that branches that add facts merge line by line:
//
//	object list
//	layout 1
//	field 0 Title string
//	field 1 Color string retired
//	field 2 Rank int64 until 1
//	method Open read () ([]Todo, error)
//
// The lock of a type is about that type's fields. In the lock of the package fields are those of the struct that is named first:
//
//	field Todo 0 Title string
//
// Lines that begin with # are comments, which stay above the line that follows them.
type lockFile struct {
	path    string
	found   bool   // on disk
	owner   string // the struct whose fields are not qualified; "": that of the package
	object  string // "": none
	layout  uint32
	header  []string
	fields  []*lockedField
	methods []*lockedMethod
	footer  []string // comments at the end
}

// A lockedField is a position of a struct, which belongs to one field for ever.
type lockedField struct {
	origin
	owner    string // the struct
	position int
	name     string
	wire     string
	retired  bool   // the field is gone from the source
	until    uint32 // the last layout that had it; 0: it is not one that an upgrade has replaced
}

// A lockedMethod is a method that other versions of the program may call.
type lockedMethod struct {
	origin
	name     string
	kind     string // update or read
	args     []string
	results  []string
	hasError bool
	retired  bool
}

// origin is where a line comes from.
type origin struct {
	path  string
	line  int // 0: it is new
	above []string
}

// live tells whether the source has the field, as of the last run.
func (f *lockedField) live() bool { return !f.retired && f.until == 0 }

const maxPosition = 1<<16 - 1 // of a field: more is a slip, and would make an array of that size

// parseLock reads a lock. It returns a problem for each line that it does not understand.
func parseLock(path, owner, text string) (*lockFile, []problem) {
	l := &lockFile{path: path, found: true, owner: owner}
	var found problems
	var comments []string
	started := false
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			comments = append(comments, line)
			continue
		}
		if line == "" {
			continue
		}
		if !started {
			started, l.header, comments = true, comments, nil
		}
		if err := l.parseLine(line, origin{path, i + 1, comments}); err != nil {
			found = append(found, problem{at: at(path, i+1), text: err.Error()})
		}
		comments = nil
	}
	if !started {
		l.header, comments = comments, nil
	}
	l.footer = comments
	return l, found
}

func (l *lockFile) parseLine(line string, from origin) error {
	words := strings.Fields(line)
	rest := words[1:]
	bad := fmt.Errorf("%q is not a line of a lock: undo the edit, or bring the file back from version control", line)
	switch words[0] {
	case "object":
		if len(rest) != 1 || l.owner == "" || l.object != "" || !validName(rest[0]) {
			return bad
		}
		l.object = rest[0]
	case "layout":
		if len(rest) != 1 || l.owner == "" || l.layout != 0 {
			return bad
		}
		n, err := strconv.ParseUint(rest[0], 10, 32)
		if err != nil || n == 0 {
			return bad
		}
		l.layout = uint32(n)
	case "field":
		f := parseField(l.owner, rest)
		if f == nil {
			return bad
		}
		f.origin = from
		l.fields = append(l.fields, f)
	case "method":
		m := parseMethod(strings.Join(rest, " "))
		if m == nil || l.owner == "" {
			return bad
		}
		m.origin = from
		l.methods = append(l.methods, m)
	case "<<<<<<<", "=======", ">>>>>>>", "|||||||":
		return fmt.Errorf("a merge has left its mark here: keep the lines of both sides, without the marks")
	default:
		return bad
	}
	return nil
}

// parseField reads "0 Title string retired", after the name of the struct if owner is "". It returns nil if that is not a field.
func parseField(owner string, words []string) *lockedField {
	f := &lockedField{owner: owner}
	if owner == "" && len(words) > 0 {
		f.owner, words = words[0], words[1:]
	}
	if n := len(words); n > 0 && words[n-1] == "retired" {
		f.retired, words = true, words[:n-1]
	} else if n > 1 && words[n-2] == "until" {
		layout, err := strconv.ParseUint(words[n-1], 10, 32)
		if err != nil || layout == 0 {
			return nil
		}
		f.until, words = uint32(layout), words[:n-2]
	}
	if len(words) < 3 {
		return nil
	}
	position, err := strconv.ParseUint(words[0], 10, 32)
	if err != nil || position > maxPosition {
		return nil
	}
	f.position, f.name, f.wire = int(position), words[1], strings.Join(words[2:], " ")
	return f
}

// parseMethod reads "Open read (string) ([]Todo, error) retired". It returns nil if that is not a method.
func parseMethod(text string) *lockedMethod {
	m := &lockedMethod{}
	text, m.retired = strings.CutSuffix(text, " retired")
	name, text, _ := strings.Cut(text, " ")
	kind, text, _ := strings.Cut(text, " ")
	args, results, ok := strings.Cut(strings.TrimPrefix(text, "("), ")")
	if name == "" || kind != "update" && kind != "read" || !ok || !strings.HasPrefix(text, "(") {
		return nil
	}
	m.name, m.kind, m.args = name, kind, parseTypes(args)
	results = strings.TrimPrefix(results, " ")
	if inner, ok := strings.CutPrefix(results, "("); ok {
		results = strings.TrimSuffix(inner, ")")
	}
	m.results = parseTypes(results)
	if n := len(m.results); n > 0 && m.results[n-1] == "error" {
		m.results, m.hasError = m.results[:n-1], true
	}
	return m
}

func parseTypes(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ", ")
}

func (f *lockedField) String() string {
	s := fmt.Sprintf("%d %s %s", f.position, f.name, f.wire)
	if f.retired {
		s += " retired"
	}
	if f.until != 0 {
		s += fmt.Sprintf(" until %d", f.until)
	}
	return s
}

func (m *lockedMethod) String() string {
	results := m.results
	if m.hasError {
		results = append(slices.Clip(results), "error")
	}
	s := fmt.Sprintf("%s %s (%s)", m.name, m.kind, strings.Join(m.args, ", "))
	switch len(results) {
	case 0:
	case 1:
		s += " " + results[0]
	default:
		s += " (" + strings.Join(results, ", ") + ")"
	}
	if m.retired {
		s += " retired"
	}
	return s
}

// format returns the file's text: fields by position, methods by name.
func (l *lockFile) format() []byte {
	var b strings.Builder
	put := func(above []string, line string) {
		for _, comment := range above {
			fmt.Fprintln(&b, comment)
		}
		fmt.Fprintln(&b, line)
	}
	for _, line := range l.header {
		fmt.Fprintln(&b, line)
	}
	if l.owner != "" {
		put(nil, "object "+l.object)
		put(nil, fmt.Sprintf("layout %d", l.layout))
	}
	byOwner := map[string][]*lockedField{}
	for _, f := range l.fields {
		byOwner[f.owner] = append(byOwner[f.owner], f)
	}
	for _, owner := range slices.Sorted(maps.Keys(byOwner)) {
		fields := byOwner[owner]
		slices.SortStableFunc(fields, func(a, b *lockedField) int { return cmp.Compare(a.position, b.position) })
		for _, f := range fields {
			if l.owner != "" {
				put(f.above, "field "+f.String())
			} else {
				put(f.above, "field "+owner+" "+f.String())
			}
		}
	}
	slices.SortStableFunc(l.methods, func(a, b *lockedMethod) int { return cmp.Compare(a.name, b.name) })
	for _, m := range l.methods {
		put(m.above, "method "+m.String())
	}
	for _, line := range l.footer {
		fmt.Fprintln(&b, line)
	}
	return []byte(b.String())
}
