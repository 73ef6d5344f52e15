package codegen

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

const directivePrefix = "//highlander:"

// directiveNames are all that there are.
var directiveNames = []string{"object", "read", "upgrade"}

// A directive is a line like //highlander:object name=list in a doc comment.
type directive struct {
	name string
	args []string
	pos  token.Pos
	used bool // by the declaration that it documents
}

// readDirectives finds all directives of the package, wherever they stand.
func (g *generator) readDirectives() {
	for _, file := range g.Syntax {
		for _, group := range file.Comments {
			for _, comment := range group.List {
				g.readDirective(comment)
			}
		}
	}
}

func (g *generator) readDirective(comment *ast.Comment) {
	text, ok := strings.CutPrefix(comment.Text, directivePrefix)
	if !ok {
		g.spacedDirective(comment)
		return
	}
	name, rest, _ := strings.Cut(text, " ")
	if !slices.Contains(directiveNames, name) {
		g.problem(comment.Pos(), "there is no directive %s%s: %s", directivePrefix, name, didYouMean(name, directiveNames))
		return
	}
	g.directives[comment] = &directive{name: name, args: strings.Fields(rest), pos: comment.Pos()}
}

// spacedDirective notices a directive that gofmt has made, or its author meant, as prose.
func (g *generator) spacedDirective(comment *ast.Comment) {
	for _, name := range directiveNames {
		if words := strings.Fields(comment.Text); len(words) > 1 && words[0] == "//" && words[1] == "highlander:"+name {
			g.problem(comment.Pos(), "a directive has no space before its name: write %s%s", directivePrefix, name)
		}
	}
}

// directive returns the doc comment's directive of that name, or nil.
func (g *generator) directive(doc *ast.CommentGroup, name string) *directive {
	if doc == nil {
		return nil
	}
	for _, comment := range doc.List {
		if d := g.directives[comment]; d != nil && d.name == name {
			d.used = true
			return d
		}
	}
	return nil
}

// unusedDirectives reports directives that stand where they mean nothing.
func (g *generator) unusedDirectives() {
	belongs := map[string]string{
		"object":  "to the declaration of a struct type of the package",
		"read":    "to an exported method of a type with //highlander:object",
		"upgrade": "to a function of the package",
	}
	for _, d := range g.directives {
		if !d.used {
			g.problem(d.pos, "%s%s has no effect here, it belongs %s: put it into the doc comment there, or delete it", directivePrefix, d.name, belongs[d.name])
		}
	}
}

// didYouMean is the remedy for a word that is none of the known ones.
func didYouMean(word string, known []string) string {
	best := slices.MinFunc(known, func(a, b string) int { return distance(word, a) - distance(word, b) })
	if distance(word, best) <= 2 {
		return "did you mean " + best + "?"
	}
	return "use one of " + strings.Join(known, ", ")
}

// distance is the number of insertions, deletions and replacements between two words (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
