package codegen

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// A randomPackage is the source of a package of random types: marked structs with fields and methods of all that objgen supports.
type randomPackage struct {
	r       *rand.Rand
	src     strings.Builder
	decls   int
	taken   map[string]bool // names at package level, of fields and of methods: each is used once
	named   []string        // types that are not structs
	keys    []string        // types of keys
	structs []randomStruct
}

// A randomStruct is a struct that fields can have as their type, by value if it is complete and not too large.
type randomStruct struct {
	name   string
	size   int // values in it
	marked bool
}

// foreign are types of other packages.
var foreign = []string{
	"time.Time", "time.Duration", "*time.Time", "uuid.UUID", "netip.Addr", "netip.Prefix", "big.Int", "*big.Int", "url.URL", "*url.URL", "net.IP", "*net.IP",
	"slog.Level", "ext.Point", "*ext.Point", "ext.Version", "*ext.Version", "ext.Opaque", "*ext.Opaque", "ext.Cloned", "ext.Fixed", "ext.Words", "ext.Times",
	"ext.Tree", "ext.Listing[int8]", "ext.Short",
}

var basicTypes = []string{
	"bool", "int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64", "float32", "float64", "string", "rune", "byte",
}

var basicKeys = []string{
	"int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64", "float32", "float64", "string", "time.Duration",
	"slog.Level", "ext.Short",
}

// newRandomPackage returns the source of a package with so many types, and of cases.go, which names those that are marked for codectest. One in
// eight structs is: it takes the compiler longer than others. It contains those before it.
func newRandomPackage(r *rand.Rand, name string, types int) (src, cases string) {
	p := &randomPackage{r: r, taken: map[string]bool{"Objects": true}, keys: slices.Clone(basicKeys)}
	p.hide()
	for range types / 5 {
		p.namedType()
	}
	var objects []string
	for i := types / 5; i < types; i++ {
		marked := (types-i)%8 == 1
		if name := p.structType(marked); marked {
			objects = append(objects, name)
		}
	}
	for _, s := range objects {
		for range 1 + p.r.IntN(5) {
			p.method(s)
		}
	}
	imports := "\"context\"\n\"errors\"\n\"log/slog\"\n\"math/big\"\n\"net\"\n\"net/netip\"\n\"net/url\"\n\"time\"\n\n\"github.com/google/uuid\"\n\n\"" + randomModule + "/ext\"\n"
	var used []string
	for _, use := range []string{"context.Context", "slog.Level", "big.Int", "net.IP", "netip.Addr", "url.URL", "time.Time", "uuid.UUID", "ext.Point"} {
		used = append(used, "_ "+use)
	}
	src = fmt.Sprintf("package %s\n\nimport (\n%s)\n\nvar (\n%s\nErrFirst = errors.New(\"first\")\nnoError error\n)\n\n%s", name, imports, strings.Join(used, "\n"), p.src.String())
	src += "type FailedError struct { Code int; Words []string }\n\nfunc (e *FailedError) Error() string { return \"failed\" }\n"

	var b strings.Builder
	fmt.Fprintf(&b, "package %s\n\nimport (\nnode_ \"%s/object\"\ntest_ \"%[2]s/internal/codectest\"\n)\n\n", name, modulePath)
	b.WriteString("var AllCases = []test_.Case{\n")
	for _, s := range objects {
		fmt.Fprintf(&b, "{&%sType, func(n node_.Node) any { return %s(n) }},\n", lowerFirst(s), plural(s))
	}
	return src, b.String() + "}\n"
}

// pick returns one of them.
func (p *randomPackage) pick(from []string) string { return from[p.r.IntN(len(from))] }

func (p *randomPackage) oneIn(n int) bool { return p.r.IntN(n) == 0 }

func (p *randomPackage) p(format string, args ...any) { fmt.Fprintf(&p.src, format+"\n", args...) }

// hide declares what generated code has other plans with.
func (p *randomPackage) hide() {
	for _, name := range []string{"codec", "object", "slices", "maps", "b", "v", "r", "i", "args", "depth", "reading", "results", "call", "ref"} {
		if p.oneIn(8) {
			if p.oneIn(2) || slices.Contains(locals, name) {
				p.p("func %s() {}\n", name)
			} else {
				p.p("type %s %s\n", name, p.pick(basicTypes))
				p.named = append(p.named, name)
			}
		}
	}
}

var randomWords = []string{
	"List", "Todo", "URL", "HTTPServer", "Box", "City", "Day", "Type", "Func", "Map", "Range", "Error", "Default", "Read", "Clone", "Append", "Shape", "Args",
	"Results", "Ref", "Key", "Reader", "Node", "Codec", "Object", "V", "B", "Æ", "snake_Case", "ID2",
}

// name returns a new exported name, with which nothing that is generated collides.
func (p *randomPackage) name() string {
	for {
		name := upperFirst(p.pick(randomWords))
		for range p.r.IntN(3) {
			name += p.pick(randomWords)
		}
		if p.oneIn(2) || p.taken[name] {
			name += fmt.Sprint(p.r.IntN(10_000))
		}
		all := []string{name, name + "Ref", name + "Collection", plural(name), "Check" + name, kebab(name), snake(name)}
		if slices.ContainsFunc(all, func(n string) bool { return p.taken[n] }) || !validName(kebab(name)) && !strings.Contains(name, "Æ") {
			continue
		}
		for _, n := range all {
			p.taken[n] = true
		}
		return name
	}
}

// typeName returns a new name of a type that is not marked.
func (p *randomPackage) typeName() string {
	name := p.name()
	if p.oneIn(8) {
		name = fmt.Sprintf("hidden%d", len(p.taken))
	}
	return name
}

// namedType declares a type that is no struct.
func (p *randomPackage) namedType() {
	name := p.typeName()
	switch p.r.IntN(12) {
	case 0, 1, 2:
		key := p.pick(basicKeys)
		p.p("type %s %s\n", name, key)
		if !strings.Contains(key, ".") {
			p.keys = append(p.keys, name)
		}
	case 3:
		p.p("type %s time.Time\n", name)
	case 4:
		p.p("type %s [%d]byte\n", name, p.r.IntN(5))
	case 5:
		p.p("type %s []byte\n", name)
	case 6:
		p.p("type %s = %s\n", name, p.typ(1))
	case 7:
		p.p("type %s[T any] []T\n", name)
		name += "[" + p.pick(basicTypes) + "]"
	default:
		p.p("type %s %s\n", name, p.composite(1))
	}
	p.named = append(p.named, name)
}

// typ returns a type.
func (p *randomPackage) typ(depth int) string {
	switch n := p.r.IntN(20); {
	case n < 6 || depth > 3:
		return p.pick(basicTypes)
	case n < 10 && len(p.named) > 0:
		return p.pick(p.named)
	case n < 13:
		return p.pick(foreign)
	case n < 15 && len(p.structs) > 0:
		return p.structs[p.r.IntN(len(p.structs))].name
	}
	return p.composite(depth)
}

// composite returns a type that is made of others.
func (p *randomPackage) composite(depth int) string {
	switch p.r.IntN(8) {
	case 0:
		return "[]byte"
	case 1:
		return fmt.Sprintf("[%d]%s", p.r.IntN(4), p.small(depth+1))
	case 2:
		return "*" + p.pointed(depth+1)
	case 3, 4:
		return fmt.Sprintf("map[%s]%s", p.pick(p.keys), p.typ(depth+1))
	}
	return "[]" + p.typ(depth+1)
}

// small returns a type whose values are not large.
func (p *randomPackage) small(depth int) string {
	for {
		t := p.typ(depth)
		i := slices.IndexFunc(p.structs, func(s randomStruct) bool { return s.name == t })
		if i < 0 || p.structs[i].size < 20 {
			return t
		}
	}
}

// pointed returns a type that pointers in fields may point to: no pointer, slice or map.
func (p *randomPackage) pointed(depth int) string {
	switch p.r.IntN(4) {
	case 0:
		return p.pick([]string{"time.Time", "uuid.UUID", "ext.Point", "ext.Tree", "netip.Addr", "time.Duration", "slog.Level"})
	case 1:
		return fmt.Sprintf("[%d]%s", p.r.IntN(4), p.small(depth+1))
	case 2:
		if len(p.structs) > 0 {
			return p.structs[p.r.IntN(len(p.structs))].name
		}
	}
	return p.pick(basicTypes)
}

var randomDefaults = map[string][]string{
	"bool": {"true", "false"}, "string": {"", "Untitled", `a \"b\" é`}, "int8": {"-128", "7"}, "uint8": {"255"}, "int": {"-5", "1000000"}, "int64": {"-9223372036854775808"},
	"uint64": {"18446744073709551615"}, "float32": {"0.5", "1e10"}, "float64": {"-2.25", "1e300"}, "time.Duration": {"90s", "10m", "1ns", "0s", "-1h"},
}

// structType declares a struct. Its fields may have it as their type, behind a pointer, a slice or a map.
func (p *randomPackage) structType(marked bool) string {
	name := p.name()
	self := randomStruct{name, 1, marked}
	if marked {
		if p.oneIn(8) {
			p.p("type %sID string\n", name)
			p.p("//highlander:object id=%sID name=x%d", name, len(p.structs))
		} else {
			p.p("//highlander:object name=x%d", len(p.structs))
		}
	}
	p.p("type %s struct {", name)
	if n := len(p.structs); n > 0 && p.oneIn(6) {
		if s := p.structs[p.r.IntN(n)]; s.size < 20 {
			p.p("%s%s", p.pick([]string{"", "*"}), s.name)
			self.size += s.size
		}
	}
	if p.oneIn(10) {
		p.p("%s", p.pick([]string{"ext.Point", "*ext.Tree", "uuid.UUID", "time.Time"}))
	}
	for i := range 1 + p.r.IntN(9) {
		field := fmt.Sprintf("F%d", i)
		if p.oneIn(3) {
			field = p.pick(randomWords)
			if p.taken["field "+name+"."+field] || p.promotes(field) {
				field = fmt.Sprintf("G%d", i)
			}
			p.taken["field "+name+"."+field] = true
			field = upperFirst(field)
		}
		switch {
		case i > 0 && p.oneIn(8):
			p.p("hidden%d %s", i, p.pick([]string{"int", "[]int", "map[string]int", "func()", "chan int", "any", "*" + name, "struct{ a []int }"}))
		case p.oneIn(10):
			p.p("%s %s", field, p.pick([]string{"*" + name, "[]" + name, "map[string]" + name, "[]*" + name, "map[int][]" + name, "[2]*" + name}))
		case p.oneIn(4):
			t := p.pick([]string{"bool", "string", "int8", "uint8", "int", "int64", "uint64", "float32", "float64", "time.Duration"})
			p.p("%s %s `json:\"x\" default:\"%s\"`", field, t, p.pick(randomDefaults[t]))
		default:
			t := p.small(0)
			if i := slices.IndexFunc(p.structs, func(s randomStruct) bool { return s.name == t }); i >= 0 {
				self.size += p.structs[i].size
			}
			p.p("%s %s", field, t)
		}
		self.size++
	}
	for i := len(p.structs) - 1; marked && i >= 0 && !p.structs[i].marked; i-- {
		s := p.structs[i]
		if s.size < 20 {
			self.size += s.size
			p.p("P%d %s", i, s.name)
		} else {
			p.p("P%d %s%s", i, p.pick([]string{"*", "[]", "map[string]"}), s.name)
		}
	}
	p.p("%s}\n", p.pick([]string{"", "_ struct{}\n"}))
	p.structs = append(p.structs, self)
	if marked && p.oneIn(8) {
		p.p("func (x *%s) Init(ctx context.Context) error { return nil }\n", name)
	}
	if p.oneIn(8) {
		p.p("func (x %s) String() string { return \"\" }\n", name)
	}
	return name
}

// promotes tells whether an embedded type has, or may have, the name.
func (p *randomPackage) promotes(field string) bool {
	return slices.ContainsFunc(p.structs, func(s randomStruct) bool { return s.name == upperFirst(field) })
}

// nasty are names of parameters and results with which generated code has other plans.
var nasty = []string{
	"b", "v", "r", "i", "j", "ctx", "err", "codec", "object", "slices", "maps", "context", "result", "results", "args", "state", "reading", "l", "x", "depth", "len",
	"string", "int", "bool", "byte", "append", "nil", "true", "error", "any", "ref", "self", "called", "callErr", "errors", "time", "uint8", "_",
}

// method declares a method of a marked type, which reads fields and, if it is an update, sets some to its arguments.
func (p *randomPackage) method(of string) {
	name := fmt.Sprintf("%s%d", p.pick([]string{"Get", "Put", "Open", "Read", "Call", "Insert", "Ref", "Do"}), len(p.taken))
	p.taken[name] = true
	fields := p.fieldsOf(of)
	receiver, update := "*"+of, p.oneIn(2)
	mark := ""
	if !update && p.oneIn(2) {
		receiver = of
	} else if !update {
		mark = "//highlander:read\n"
	}
	var params, zeros, values, later []string
	var body strings.Builder
	names := slices.Clone(nasty)
	p.r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	ctx := p.pick([]string{"ctx context.Context", "_ context.Context"})
	names = slices.DeleteFunc(names, func(n string) bool { return n == "ctx" })
	for i := range p.r.IntN(4) {
		t := p.typ(0)
		if len(fields) > 0 && p.oneIn(2) {
			f := fields[p.r.IntN(len(fields))]
			if t = f.typ; update && names[i] != "_" {
				fmt.Fprintf(&body, "recv.%s = %s\n", f.name, names[i])
			}
		}
		params = append(params, names[i]+" "+t)
		if names[i] != "_" && p.oneIn(3) {
			zeros, values = append(zeros, t), append(values, names[i])
		}
	}
	for len(zeros) < 3 && !p.oneIn(3) {
		if len(fields) > 0 && !p.oneIn(8) {
			f := fields[p.r.IntN(len(fields))]
			zeros, values = append(zeros, f.typ), append(values, "recv."+f.name)
			continue
		}
		p.decls++
		t := p.typ(0)
		later = append(later, fmt.Sprintf("var zero%d %s", p.decls, t))
		zeros, values = append(zeros, t), append(values, fmt.Sprintf("zero%d", p.decls))
	}
	results := slices.Clone(zeros)
	if p.oneIn(2) { // with names
		for i := range results {
			results[i] = names[len(names)-1-i] + " " + results[i]
		}
	}
	if !p.oneIn(3) {
		last := "error"
		if len(results) > 0 && results[0] != zeros[0] {
			last = "_ error"
		}
		results, values = append(results, last), append(values, "noError")
	}
	p.p("%s", strings.Join(later, "\n"))
	p.p("%sfunc (recv %s) %s(%s) (%s) {\n%sreturn %s\n}\n", mark, receiver, name, strings.Join(append([]string{ctx}, params...), ", "), strings.Join(results, ", "), body.String(), strings.Join(values, ", "))
}

type randomField struct{ name, typ string }

// fieldsOf returns the exported fields of a struct that was declared.
func (p *randomPackage) fieldsOf(name string) (fields []randomField) {
	_, text, _ := strings.Cut(p.src.String(), "\ntype "+name+" struct {\n")
	text, _, _ = strings.Cut(text, "\n}\n")
	for _, line := range strings.Split(text, "\n") {
		if words := strings.Fields(line); len(words) > 1 && upperFirst(words[0]) == words[0] && words[0] != "_" {
			typ, _, _ := strings.Cut(strings.TrimPrefix(line, words[0]+" "), " `")
			fields = append(fields, randomField{words[0], typ})
		}
	}
	return fields
}
