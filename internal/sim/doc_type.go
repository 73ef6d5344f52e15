package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/object"
)

// A doc is the state of the objects: words, with a space after each. It is small enough to be compared and shown as a whole.
type doc string

func (d doc) has(word string) bool { return strings.Contains(" "+string(d), " "+word+" ") }

var docCodec = object.Codec[doc]{Append: codec.AppendString[doc], Read: codec.ReadString[doc]}

// errExists is what an update fails with that finds its word in the doc.
var errExists = errors.New("it is in the doc already")

// A refusal is the error of an update that always fails. It shows the state that the update has seen.
type refusal struct{ saw doc }

func (r *refusal) Error() string { return fmt.Sprintf("refused at %q", string(r.saw)) }

// forwards is how many words are added to the other object.
const forwards = 2

func forwarded(word string, i int) string { return fmt.Sprintf("%s:%d", word, i) }

// Both are kept in records, for calls that are made again.
var errorsKept = []object.CrossingError{
	{Name: "exists", Value: &errExists},
	{
		Name: "refusal",
		Append: func(b []byte, err error) ([]byte, bool) {
			var r *refusal
			if !errors.As(err, &r) {
				return b, false
			}
			return codec.AppendString(b, r.saw), true
		},
		Read: func(r *codec.Reader) error {
			err := &refusal{}
			codec.ReadString(r, &err.saw)
			return err
		},
	},
}

// types are the type of the objects, as the program has it and as its older version has it.
func types(idle time.Duration) (now, older *object.Type[doc]) {
	methods := []object.Method[doc]{add, addOnce, refuse, spoil, panics, forward, touch, show}
	older = &object.Type[doc]{Name: "doc", Codec: docCodec, Idle: idle, MaxQueue: 16, Methods: methods}
	now = &object.Type[doc]{Name: "doc", Codec: docCodec, Idle: idle, MaxQueue: 16, Methods: append(methods, addLater)}
	return now, older
}

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

	// addOnce adds a word unless it is there. It takes its time: other updates are put meanwhile.
	addOnce = object.Update("AddOnce", func(ctx context.Context, d *doc, word string) (doc, error) {
		begin(ctx)
		if p, err := object.Env[*process](ctx); err == nil {
			p.pass(context.Background(), "runs", delay{10 * time.Millisecond, 200 * time.Millisecond})
		}
		if d.has(word) {
			return "", errExists
		}
		*d += doc(word + " ")
		return *d, nil
	})

	// spoil changes what it has been given, and then fails: nothing of that may be seen.
	spoil = object.Update("Spoil", func(ctx context.Context, d *doc, word string) (object.None, error) {
		begin(ctx)
		saw := *d
		*d += doc(word + " ")
		return object.None{}, &refusal{saw}
	})

	// panics is spoil with a panic.
	panics = object.Update("Panic", func(ctx context.Context, d *doc, word string) (object.None, error) {
		begin(ctx)
		saw := *d
		*d += doc(word + " ")
		panic(&refusal{saw})
	})

	// forward is add, and adds the word to another object, too, which the argument names after an @.
	forward = object.Update("Forward", func(ctx context.Context, d *doc, arg string) (doc, error) {
		begin(ctx)
		p, err := object.Env[*process](ctx)
		if err != nil {
			return "", err
		}
		word, to, _ := strings.Cut(arg, "@")
		for i := range forwards {
			if _, err := add.Call(ctx, p.docs().Ref(to), forwarded(word, i)); err != nil {
				return "", err
			}
		}
		*d += doc(word + " ")
		return *d, nil
	})

	// addLater is add under a name that nodes of the older version of the program do not have.
	addLater = object.Update("AddLater", add.Run)

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
