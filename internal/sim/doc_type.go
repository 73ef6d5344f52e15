package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/highlander-go/highlander/object"
)

// A doc is the state of the objects: words, with a space after each. It is small enough to be compared and shown as a whole.
type doc string

func (d doc) has(word string) bool { return strings.Contains(" "+string(d), " "+word+" ") }

// docCodec writes a str 32.
type docCodec struct{}

func (docCodec) Append(dst []byte, d *doc) ([]byte, error) {
	return append(binary.BigEndian.AppendUint32(append(dst, 0xdb), uint32(len(*d))), *d...), nil
}

func (docCodec) Decode(src []byte, d *doc) error {
	if len(src) < 5 || src[0] != 0xdb || int(binary.BigEndian.Uint32(src[1:])) != len(src)-5 {
		return fmt.Errorf("%x is no doc", src)
	}
	*d = doc(src[5:])
	return nil
}

func (docCodec) Clone(d *doc) doc { return *d }

// errExists is what an update fails with that finds its word in the doc.
var errExists = errors.New("it is in the doc already")

// A refusal is the error of an update that always fails. It shows the state that the update has seen.
type refusal struct{ saw doc }

func (r *refusal) Error() string { return fmt.Sprintf("refused at %q", string(r.saw)) }

// An update's goroutine works for the object, not for who has called it.
func begin(ctx context.Context) {
	if p, err := object.Env[*process](ctx); err == nil {
		p.w.actors.become(p.name + " worker of " + object.From(ctx).Key.ID)
	}
}

var (
	// add adds a word that is added by nobody else, so that it tells whether this very call has had an effect.
	add = object.Update("Add", func(ctx context.Context, d *doc, word string) (doc, error) {
		begin(ctx)
		*d += doc(word + " ")
		return *d, nil
	})

	// addOnce adds a word unless it is there.
	addOnce = object.Update("AddOnce", func(ctx context.Context, d *doc, word string) (doc, error) {
		begin(ctx)
		if d.has(word) {
			return "", errExists
		}
		*d += doc(word + " ")
		return *d, nil
	})

	refuse = object.Update("Refuse", func(ctx context.Context, d *doc, _ object.None) (object.None, error) {
		begin(ctx)
		return object.None{}, &refusal{*d}
	})

	// touch changes nothing.
	touch = object.Update("Touch", func(ctx context.Context, d *doc, _ object.None) (doc, error) {
		begin(ctx)
		return *d, nil
	})

	show = object.Read("Show", func(_ context.Context, d *doc, _ object.None) (doc, error) { return *d, nil })
)
