package codegen

import (
	"cmp"
	"errors"
	"fmt"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
)

// A problem is something that is wrong with the user's source or locks, and what to change.
type problem struct {
	at   token.Position
	text string
}

// problems are all those of a package: they are reported together.
type problems []problem

func (p *problems) add(at token.Position, format string, args ...any) {
	*p = append(*p, problem{at, fmt.Sprintf(format, args...)})
}

// err returns the problems as one error, sorted by position, each once.
func (p problems) err(dir string) error {
	slices.SortStableFunc(p, func(a, b problem) int {
		return cmp.Or(
			cmp.Compare(a.at.Filename, b.at.Filename),
			cmp.Compare(a.at.Line, b.at.Line),
			cmp.Compare(a.at.Column, b.at.Column),
			cmp.Compare(a.text, b.text),
		)
	})
	var errs []error
	for _, problem := range slices.Compact(p) {
		at := problem.at
		at.Filename = relative(dir, at.Filename)
		errs = append(errs, fmt.Errorf("%v: %s", at, problem.text))
	}
	return errors.Join(errs...)
}

// relative is the path as seen from the directory, if it lies below it.
func relative(dir, path string) string {
	rel, err := filepath.Rel(dir, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return path
	}
	return rel
}
