// Package sample is objects with what objgen makes of them, for tests and benchmarks of generated code.
//
// What generated code writes, github.com/vmihailenco/msgpack can read into the same structs, and what that writes with UseArrayEncodedStructs
// generated code can read, so that any tool for msgpack shows what a bucket holds. Where its defaults differ:
//   - an embedded struct is one value here, and its fields are taken apart there, unless its tag is `msgpack:",noinline"`;
//   - a type that is declared as time.Time, as in type Stamp time.Time, is a time here, and there a struct without fields;
//   - keys of maps are the strings and numbers that they are here, and there are encoded by their marshalers;
//   - slices and arrays of a type that is declared as byte are arrays of integers here, and binary data there;
//   - values of maps whose marshalers have pointer receivers cannot be encoded there;
//   - times are read in UTC here, and in the local zone there;
//   - fields have their defaults here where they are missing, and there what they were before.
package sample

import (
	"context"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"time"

	"github.com/google/uuid"
)

//go:generate go tool objgen

// A Todo is one thing to do.
type Todo struct {
	Title, Color string
	Completed    bool
	CompletedAt  time.Time
}

// A List is a list of them.
//
//highlander:object
type List struct {
	Title string `default:"Untitled"`
	Todos []Todo
}

// Open returns how many are not completed.
func (l List) Open(context.Context) (n int) {
	for i := range l.Todos {
		if !l.Todos[i].Completed {
			n++
		}
	}
	return n
}

// Count returns how many there are.
func (l List) Count(context.Context) int { return len(l.Todos) }

type (
	Flag   bool
	Small  int8
	Count  uint16
	Ratio  float32
	Name   string
	Secret []byte
	Digest [4]byte
	Names  map[Name][]Name
)

// A Base is embedded.
type Base struct {
	ID      uuid.UUID
	Created time.Time
}

// Everything has a field of each kind that can be stored.
//
//highlander:object plural=Everythings
type Everything struct {
	Base    `msgpack:",noinline"`
	Flag    Flag `default:"true"`
	Small   Small
	Int     int `default:"-5"`
	Int16   int16
	hidden  map[string]int // neither stored nor copied
	Int32   rune
	Int64   int64
	Byte    byte
	Count   Count
	Uint32  uint32
	Uint64  uint64
	Uint    uint
	Ratio   Ratio
	Float   float64 `default:"0.5"`
	Name    Name    `default:"nobody"`
	Secret  Secret
	Digest  Digest
	Time    time.Time
	Stay    time.Duration `default:"90s"`
	At      *time.Time
	Todos   []Todo
	Best    *Todo
	Pair    [2]Todo
	Grid    [2][3]int16
	ByName  map[Name][]int
	ByInt   map[int8]Todo
	ByFloat map[float64]*Todo
	ByTime  map[time.Duration]string
	Names   Names
	Nested  [][]map[string][]byte
	Next    *Everything
	Others  []Everything
	Kids    map[string]*Everything
	Level   slog.Level
	Addr    netip.Addr
	Prefix  *netip.Prefix
	IP      net.IP
	Big     big.Int
	BigP    *big.Int
	URL     url.URL
	URLs    []*url.URL
}

// Swap sets some fields and returns what they were.
func (e *Everything) Swap(_ context.Context, todos []Todo, byName map[Name][]int, next *Everything) ([]Todo, map[Name][]int, *Everything, error) {
	oldTodos, oldByName, oldNext := e.Todos, e.ByName, e.Next
	e.Todos, e.ByName, e.Next, e.hidden = todos, byName, next, map[string]int{"swaps": 1}
	return oldTodos, oldByName, oldNext, nil
}

// All returns all of it.
func (e Everything) All(context.Context) (Everything, error) { return e, nil }
