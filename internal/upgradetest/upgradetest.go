// Package upgradetest is three versions of one application, and clients that call it while nodes change from one version to another.
//
// What the second version has and the first one has not: fields, of documents and of their items, one of which has a default; arguments and results;
// methods; a type. The third one has another type for a field, and so another layout. v2 was made from v1, and v3 from v2, as an application is
// changed: its sources were edited and objgen was run on them, with the locks that were there.
package upgradetest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/highlander-go/highlander/object"

	v1 "github.com/highlander-go/highlander/internal/upgradetest/v1"
	v2 "github.com/highlander-go/highlander/internal/upgradetest/v2"
	v3 "github.com/highlander-go/highlander/internal/upgradetest/v3"
)

// Versions are the numbers of all versions.
var versions = map[int]struct {
	objects object.Set
	app     func(object.Node) App
}{
	1: {v1.Objects, newFirst},
	2: {v2.Objects, newSecond},
	3: {v3.Objects, newThird},
}

// Objects is what a node of the version is opened with, 1 to 3. The versions' errors have the same names, as those of one package would.
func Objects(version int) object.Set {
	set := versions[version].objects
	set.Errors = slices.Clone(set.Errors)
	for i := range set.Errors {
		set.Errors[i].Name = strings.Replace(set.Errors[i].Name, fmt.Sprint("/v", version, "."), ".", 1)
	}
	return set
}

// Through is the application as code of the version calls it through a node, which was opened with the version's objects.
func Through(node object.Node, version int) App { return versions[version].app(node) }

// An App does what clients want.
type App interface {
	// Do returns the error of a call that should not have failed.
	Do(ctx context.Context, op Op) (Answer, error)
}

// An Op is a call, of a method unless Kind says otherwise. A method uses those of the other fields that it has arguments for.
type Op struct {
	Kind     Kind
	ID       string
	Edit     Kind // of put: what is done to the state that was read
	Name     string
	Title    string
	Tag      string
	Color    string
	By       int
	To       int
	Priority int
	Tags     []string
}

// A Kind is named after a method, but for get, and for put: which gets the state and puts it changed, if nobody has changed it meanwhile.
type Kind string

const (
	Get     Kind = "get"
	Put     Kind = "put"
	Add     Kind = "add"
	Change  Kind = "change"
	Remove  Kind = "remove"
	Move    Kind = "move"
	Rename  Kind = "rename"
	Summary Kind = "summary"
	Count   Kind = "count"

	// Not of the first version.
	Paint   Kind = "paint"
	Label   Kind = "label"
	Painted Kind = "painted"
	Note    Kind = "note"
)

// An Answer is what came of an Op. A method uses those of the fields that it has results for.
type Answer struct {
	Refused  Refusal
	Version  int      // that has run the update, as far as it says so
	Document Document // that was got
	Text     string
	Number   int
	Priority int
	Names    []string
}

// A Refusal is why a call has changed nothing.
type Refusal string

const (
	Duplicate Refusal = "there is an item of that name"
	NoItem    Refusal = "there is no item of that name"
)
