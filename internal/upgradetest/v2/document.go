// Package v2 is the second version: it adds to the first one what can be added without another layout.
package v2

import (
	"context"
	"errors"
	"slices"
)

//go:generate go tool objgen

// Document is a list of items with a log of what was done to it last.
//
//highlander:object
type Document struct {
	Title    string
	Items    []Item
	Log      []string
	Priority int `default:"3"`
	Tags     []string
}

// An Item is named by nothing else in its document.
type Item struct {
	Name  string
	Count int
	Color string
}

// What methods of documents refuse.
var (
	ErrDuplicate = errors.New("the document has an item of that name")
	ErrNoItem    = errors.New("the document has no item of that name")
)

// logged is how many lines of the log are kept.
const logged = 8

func (d *Document) log(line string) {
	d.Log = append(d.Log, line)
	d.Log = d.Log[max(0, len(d.Log)-logged):]
}

func (d *Document) find(name string) (int, error) {
	i := slices.IndexFunc(d.Items, func(i Item) bool { return i.Name == name })
	if i < 0 {
		return 0, ErrNoItem
	}
	return i, nil
}

// Version is what updates of this version return, where those of the first one return nothing.
const Version = 2

// Add appends an item. It returns the version that has done so: the first one does not know colors.
func (d *Document) Add(ctx context.Context, item Item) (version int, err error) {
	if _, err := d.find(item.Name); err == nil {
		return Version, ErrDuplicate
	}
	d.Items = append(d.Items, item)
	d.log("add " + item.Name)
	return Version, nil
}

// Change adds to an item's count, which it returns.
func (d *Document) Change(ctx context.Context, name string, by int) (int, error) {
	i, err := d.find(name)
	if err != nil {
		return 0, err
	}
	d.Items[i].Count += by
	d.log("change " + name)
	return d.Items[i].Count, nil
}

// Remove removes an item.
func (d *Document) Remove(ctx context.Context, name string) error {
	i, err := d.find(name)
	if err != nil {
		return err
	}
	d.Items = slices.Delete(d.Items, i, i+1)
	d.log("remove " + name)
	return nil
}

// Move moves an item to another place: the last one, if there are not as many.
func (d *Document) Move(ctx context.Context, name string, to int) error {
	i, err := d.find(name)
	if err != nil {
		return err
	}
	item := d.Items[i]
	d.Items = slices.Delete(d.Items, i, i+1)
	d.Items = slices.Insert(d.Items, min(to, len(d.Items)), item)
	d.log("move " + name)
	return nil
}

// Rename gives the document a title, and a tag, which callers of the first version do not send. It returns the title that it had and the
// version that has done so.
func (d *Document) Rename(ctx context.Context, title, tag string) (was string, version int, err error) {
	was = d.Title
	d.Title = title
	if tag != "" {
		d.Tags = []string{tag}
	}
	d.log("rename " + title)
	return was, Version, nil
}

// Paint gives an item a color.
func (d *Document) Paint(ctx context.Context, name, color string) error {
	i, err := d.find(name)
	if err != nil {
		return err
	}
	d.Items[i].Color = color
	d.log("paint " + name)
	return nil
}

// Label sets the priority and the tags.
func (d *Document) Label(ctx context.Context, priority int, tags []string) error {
	d.Priority, d.Tags = priority, tags
	return nil
}

// Summary returns the title, how many items there are, and the priority.
func (d Document) Summary(ctx context.Context) (title string, items, priority int, err error) {
	return d.Title, len(d.Items), d.Priority, nil
}

// Painted returns the names of the items that have a color.
func (d Document) Painted(ctx context.Context) (names []string, err error) {
	for _, i := range d.Items {
		if i.Color != "" {
			names = append(names, i.Name)
		}
	}
	return names, nil
}
