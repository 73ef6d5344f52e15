package upgradetest

import "slices"

// A Document is what is known of a document, in all versions.
type Document struct {
	Title    string
	Items    []Item
	Log      []string
	Priority int
	Tags     []string
}

// An Item is one of a document's.
type Item struct {
	Name  string
	Count int
	Color string
}

const (
	defaultPriority = 3
	logged          = 8 // lines of a document's log
)

// as returns the document as the version knows it.
func (d Document) as(version int) Document {
	if version > 1 {
		return d
	}
	d.Priority, d.Tags, d.Items = 0, nil, slices.Clone(d.Items)
	for i := range d.Items {
		d.Items[i].Color = ""
	}
	return d
}

func (d Document) equal(e Document) bool {
	return d.Title == e.Title && d.Priority == e.Priority && slices.Equal(d.Items, e.Items) && slices.Equal(d.Log, e.Log) && slices.Equal(d.Tags, e.Tags)
}

func (d *Document) find(name string) int {
	return slices.IndexFunc(d.Items, func(i Item) bool { return i.Name == name })
}

// do is what a method of that kind does to d when code of the version runs it, and what it answers but for the version.
func (d *Document) do(op Op, kind Kind, version int) (a Answer) {
	i := d.find(op.Name)
	switch kind {
	case Add:
		if i >= 0 {
			return Answer{Refused: Duplicate}
		}
	case Change, Remove, Move, Paint:
		if i < 0 {
			return Answer{Refused: NoItem}
		}
	}
	log := string(kind) + " " + op.Name
	switch kind {
	case Add:
		item := Item{Name: op.Name, Count: op.By}
		if version > 1 {
			item.Color = op.Color
		}
		d.Items = append(d.Items, item)
	case Change:
		d.Items[i].Count += op.By
		a.Number = d.Items[i].Count
	case Remove:
		d.Items = slices.Delete(d.Items, i, i+1)
	case Move:
		item := d.Items[i]
		d.Items = slices.Delete(d.Items, i, i+1)
		d.Items = slices.Insert(d.Items, min(op.To, len(d.Items)), item)
	case Paint:
		d.Items[i].Color = op.Color
	case Rename:
		a.Text, d.Title = d.Title, op.Title
		if version > 1 && op.Tag != "" {
			d.Tags = []string{op.Tag}
		}
		log = "rename " + op.Title
	case Label:
		d.Priority, d.Tags = op.Priority, op.Tags
		return a
	case Summary:
		a.Text, a.Number, a.Priority = d.Title, len(d.Items), d.as(version).Priority
		return a
	case Painted:
		for _, i := range d.Items {
			if i.Color != "" {
				a.Names = append(a.Names, i.Name)
			}
		}
		return a
	}
	d.Log = append(d.Log, log)
	d.Log = d.Log[max(0, len(d.Log)-logged):]
	return a
}
