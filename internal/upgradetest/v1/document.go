// Package v1 is the first version of an application, which others of this directory change: see package upgradetest.
package v1

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
	Title string
	Items []Item
	Log   []string
}

// An Item is named by nothing else in its document.
type Item struct {
	Name  string
	Count int
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

// Add appends an item.
func (d *Document) Add(ctx context.Context, item Item) error {
	if _, err := d.find(item.Name); err == nil {
		return ErrDuplicate
	}
	d.Items = append(d.Items, item)
	d.log("add " + item.Name)
	return nil
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

// Rename gives the document a title, and returns the one that it had.
func (d *Document) Rename(ctx context.Context, title string) (string, error) {
	was := d.Title
	d.Title = title
	d.log("rename " + title)
	return was, nil
}

// Summary returns the title, and how many items there are.
func (d Document) Summary(ctx context.Context) (string, int, error) {
	return d.Title, len(d.Items), nil
}
