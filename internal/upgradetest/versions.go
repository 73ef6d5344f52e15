package upgradetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/highlander-go/highlander/object"

	v1 "github.com/highlander-go/highlander/internal/upgradetest/v1"
	v2 "github.com/highlander-go/highlander/internal/upgradetest/v2"
	v3 "github.com/highlander-go/highlander/internal/upgradetest/v3"
)

// refused makes the application's errors refusals.
func refused(a Answer, err error) (Answer, error) {
	for _, r := range []struct {
		err error
		as  Refusal
	}{
		{v1.ErrDuplicate, Duplicate}, {v2.ErrDuplicate, Duplicate}, {v3.ErrDuplicate, Duplicate},
		{v1.ErrNoItem, NoItem}, {v2.ErrNoItem, NoItem}, {v3.ErrNoItem, NoItem},
	} {
		if errors.Is(err, r.err) {
			return Answer{Refused: r.as}, nil
		}
	}
	return a, err
}

// whole gets a document, and puts it changed if op is a put.
func whole[D any](ctx context.Context, c object.Collection[D, string], op Op, version int, from func(D) Document, to func(Document) D) (Answer, error) {
	state, number, err := c.GetVersion(ctx, op.ID)
	if err != nil || op.Kind == Get {
		return Answer{Document: from(state)}, err
	}
	changed := from(state)
	a := changed.do(op, op.Edit, version)
	a.Document = from(state)
	if a.Refused != "" {
		return a, nil
	}
	return a, c.PutIf(ctx, op.ID, number, to(changed))
}

// first is the application as the first version calls it.
type first struct {
	documents v1.DocumentCollection
	counters  v1.CounterCollection
}

func newFirst(n object.Node) App { return first{v1.Documents(n), v1.Counters(n)} }

func (f first) Do(ctx context.Context, op Op) (a Answer, err error) {
	d := f.documents.Ref(op.ID)
	switch op.Kind {
	case Get, Put:
		a, err = whole(ctx, f.documents.Collection, op, 1, fromFirst, toFirst)
	case Add:
		err = d.Add(ctx, v1.Item{Name: op.Name, Count: op.By})
	case Change:
		a.Number, err = d.Change(ctx, op.Name, op.By)
	case Remove:
		err = d.Remove(ctx, op.Name)
	case Move:
		err = d.Move(ctx, op.Name, op.To)
	case Rename:
		a.Text, err = d.Rename(ctx, op.Title)
	case Summary:
		a.Text, a.Number, err = d.Summary(ctx)
	case Count:
		var n int64
		n, err = f.counters.Ref(op.ID).Add(ctx, int64(op.By))
		a.Number = int(n)
	default:
		err = fmt.Errorf("version 1 has no %s", op.Kind)
	}
	return refused(a, err)
}

func fromFirst(d v1.Document) Document {
	to := Document{Title: d.Title, Log: d.Log}
	for _, i := range d.Items {
		to.Items = append(to.Items, Item{Name: i.Name, Count: i.Count})
	}
	return to
}

func toFirst(d Document) v1.Document {
	to := v1.Document{Title: d.Title, Log: d.Log}
	for _, i := range d.Items {
		to.Items = append(to.Items, v1.Item{Name: i.Name, Count: i.Count})
	}
	return to
}

// later is the application as the second version calls it, or the third, whose documents are D and items I.
type later[D, I any] struct {
	version   int
	documents object.Collection[D, string]
	ref       func(id string) laterRef[I]
	count     func(ctx context.Context, id string, n int64) (int64, error)
	note      func(ctx context.Context, id, line string) (int, error)
	item      func(Item) I
	from      func(D) Document
	to        func(Document) D
}

// A laterRef is a reference to a document.
type laterRef[I any] interface {
	Add(context.Context, I) (int, error)
	Change(context.Context, string, int) (int, error)
	Remove(context.Context, string) error
	Move(context.Context, string, int) error
	Rename(context.Context, string, string) (string, int, error)
	Paint(context.Context, string, string) error
	Label(context.Context, int, []string) error
	Summary(context.Context) (string, int, int, error)
	Painted(context.Context) ([]string, error)
}

func (l later[D, I]) Do(ctx context.Context, op Op) (a Answer, err error) {
	d := l.ref(op.ID)
	switch op.Kind {
	case Get, Put:
		a, err = whole(ctx, l.documents, op, l.version, l.from, l.to)
	case Add:
		a.Version, err = d.Add(ctx, l.item(Item{op.Name, op.By, op.Color}))
	case Change:
		a.Number, err = d.Change(ctx, op.Name, op.By)
	case Remove:
		err = d.Remove(ctx, op.Name)
	case Move:
		err = d.Move(ctx, op.Name, op.To)
	case Rename:
		a.Text, a.Version, err = d.Rename(ctx, op.Title, op.Tag)
	case Paint:
		err = d.Paint(ctx, op.Name, op.Color)
	case Label:
		err = d.Label(ctx, op.Priority, op.Tags)
	case Summary:
		a.Text, a.Number, a.Priority, err = d.Summary(ctx)
	case Painted:
		a.Names, err = d.Painted(ctx)
	case Count:
		var n int64
		n, err = l.count(ctx, op.ID, int64(op.By))
		a.Number = int(n)
	case Note:
		a.Number, err = l.note(ctx, op.ID, op.Name)
	}
	return refused(a, err)
}

func newSecond(n object.Node) App {
	documents := v2.Documents(n)
	return later[v2.Document, v2.Item]{
		version:   2,
		documents: documents.Collection,
		ref:       func(id string) laterRef[v2.Item] { return documents.Ref(id) },
		count: func(ctx context.Context, id string, by int64) (int64, error) {
			return v2.Counters(n).Ref(id).Add(ctx, by)
		},
		note: func(ctx context.Context, id, line string) (int, error) { return v2.Notes(n).Ref(id).Append(ctx, line) },
		item: func(i Item) v2.Item { return v2.Item(i) },
		from: func(d v2.Document) Document {
			to := Document{Title: d.Title, Log: d.Log, Priority: d.Priority, Tags: d.Tags}
			for _, i := range d.Items {
				to.Items = append(to.Items, Item(i))
			}
			return to
		},
		to: func(d Document) v2.Document {
			to := v2.Document{Title: d.Title, Log: d.Log, Priority: d.Priority, Tags: d.Tags}
			for _, i := range d.Items {
				to.Items = append(to.Items, v2.Item(i))
			}
			return to
		},
	}
}

func newThird(n object.Node) App {
	documents := v3.Documents(n)
	return later[v3.Document, v3.Item]{
		version:   3,
		documents: documents.Collection,
		ref:       func(id string) laterRef[v3.Item] { return documents.Ref(id) },
		count: func(ctx context.Context, id string, by int64) (int64, error) {
			return v3.Counters(n).Ref(id).Add(ctx, by)
		},
		note: func(ctx context.Context, id, line string) (int, error) { return v3.Notes(n).Ref(id).Append(ctx, line) },
		item: func(i Item) v3.Item { return v3.Item(i) },
		from: func(d v3.Document) Document {
			priority, _ := strconv.Atoi(d.Priority) // 0 if it is none: the clients would see it
			to := Document{Title: d.Title, Log: d.Log, Priority: priority, Tags: d.Tags}
			for _, i := range d.Items {
				to.Items = append(to.Items, Item(i))
			}
			return to
		},
		to: func(d Document) v3.Document {
			to := v3.Document{Title: d.Title, Log: d.Log, Priority: strconv.Itoa(d.Priority), Tags: d.Tags}
			for _, i := range d.Items {
				to.Items = append(to.Items, v3.Item(i))
			}
			return to
		},
	}
}
