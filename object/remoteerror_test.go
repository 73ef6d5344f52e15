package object_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

var crossing = []error{object.ErrUnavailable, object.ErrUnknownOutcome, object.ErrOverloaded, object.ErrTooLarge,
	object.ErrUnknownType, object.ErrUnknownMethod, object.ErrBadID, object.ErrClosed, object.ErrVersion, object.ErrPanic, object.ErrCycle,
	context.Canceled, context.DeadlineExceeded}

func TestARemoteErrorMatchesWhatItsOriginMatches(t *testing.T) {
	origins := []error{errors.New("todo: forbidden"), errors.New(""), object.ErrUnreadable, fmt.Errorf("%w: %w", object.ErrUnavailable, context.DeadlineExceeded)}
	for _, err := range crossing {
		origins = append(origins, fmt.Errorf("list/l: %w, try again", err))
	}
	for _, origin := range origins {
		got := object.NewRemoteError(origin)
		if got.Error() != origin.Error() {
			t.Errorf("%q became %q", origin, got)
		}
		for _, err := range crossing {
			if errors.Is(got, err) != errors.Is(origin, err) {
				t.Errorf("%q matches %q: %v there, %v here", origin, err, errors.Is(origin, err), errors.Is(got, err))
			}
		}
		var elsewhere *object.NotOwnerError
		if errors.As(got, &elsewhere) || errors.Is(got, object.ErrUnreadable) {
			t.Errorf("%q became %+v", origin, got)
		}
	}
}

// Nodes of different versions agree on the bits.
func TestTheBitsOfErrorsStay(t *testing.T) {
	for i, err := range crossing {
		if got := object.NewRemoteError(err).Matches; got != 1<<i {
			t.Errorf("%v has the bits %b, not bit %d", err, got, i)
		}
	}
}

func TestARefusalCrossesWithItsOwner(t *testing.T) {
	owner := object.Member{Incarnation: uuid.New(), Session: 3, Name: "c", Address: "127.0.0.1:9", Types: []object.Served{{Type: "list"}}}
	refusal := &object.NotOwnerError{Key: object.Key{Type: "list", ID: "l"}, Owner: owner}
	var got *object.NotOwnerError
	if !errors.As(object.NewRemoteError(fmt.Errorf("no: %w", refusal)), &got) {
		t.Fatal("the refusal is lost")
	}
	want := *refusal
	want.Owner.Types = nil
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("%+v became %+v", want, *got)
	}
	if refusal.Owner.Types == nil {
		t.Error("the original has lost its types")
	}
}
