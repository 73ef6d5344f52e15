package highlandertest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/highlander-go/highlander/object"
)

// A Model says what one object does, called by one caller at a time. S is its state, I is what it is called with and O is what it answers.
type Model[S, I, O any] struct {
	// Init is the state of an object that nobody has called yet.
	Init S

	// Step says what a call makes of the state and what is answered. It must not change what state and in refer to. An error is one that the application defines, such as
	// ErrOverdrawn: the call must have failed with one that matches it, and has changed nothing: next does not count then. It is what the object's methods do, in as few lines as it takes, and without what does
	// not matter to the test.
	Step func(state S, in I) (next S, out O, err error)

	// Equal tells whether an answer is the one that Step has given. Nil: reflect.DeepEqual.
	Equal func(got, want O) bool
}

// A History records calls of objects, and checks that they are linearizable: that all who called one object could have seen what they saw if the calls
// had been run one after the other by the model, each at some moment between its beginning and its end. It may be used concurrently. Make one with [NewHistory].
//
// A call that ends with [object.ErrUnavailable], [object.ErrOverloaded] or [object.ErrClosed] has not happened. One that ends with
// [object.ErrUnknownOutcome], or has not ended, may have happened at any time since it began, may yet, or never. Each of these makes the check take longer: thousands of calls are checked
// in moments, but not dozens of such calls of one object at a time.
type History[S, I, O any] struct {
	model Model[S, I, O]

	mu    sync.Mutex
	now   int64 // counts beginnings and ends: an order that also holds where time stands still, as in testing/synctest
	calls []*recorded[I, O]
}

// A recorded is a call.
type recorded[I, O any] struct {
	client     int
	key        string
	in         I
	began, end int64 // end is 0 until it is known what has come of the call

	none bool // it has not happened
	out  O
	err  error
}

// NewHistory returns a history without calls.
func NewHistory[S, I, O any](m Model[S, I, O]) *History[S, I, O] {
	return &History[S, I, O]{model: m}
}

// Do makes a call, which is one of the object with the key, and returns what it returns. client says on which line the picture shows it: it is a number of the test's, from 0, best one for
// each goroutine.
func (h *History[S, I, O]) Do(client int, key string, in I, call func() (O, error)) (O, error) {
	h.mu.Lock()
	h.now++
	r := &recorded[I, O]{client: client, key: key, in: in, began: h.now}
	h.calls = append(h.calls, r)
	h.mu.Unlock()

	out, err := call()

	h.mu.Lock()
	defer h.mu.Unlock()
	h.now++
	r.out, r.err = out, err
	switch {
	case errors.Is(err, object.ErrUnknownOutcome):
	case errors.Is(err, object.ErrUnavailable), errors.Is(err, object.ErrOverloaded), errors.Is(err, object.ErrClosed):
		r.none = true
	default:
		r.end = h.now
	}
	return out, err
}

// mostSteps is after how many steps of the model a check of one object is given up: seconds, and some hundred megabytes. It is no time limit since time
// stands still inside testing/synctest.
const mostSteps = 5_000_000

// Check fails the test if an object's calls are not linearizable: it says which call the model could not follow, and has a picture drawn, a page that shows how far it could. It is
// among the test's artifacts if they are kept (go test -artifacts), else in a temporary folder that stays. It also fails the test if a history would take too long to check.
func (h *History[S, I, O]) Check(t testing.TB) {
	t.Helper()
	keys, operations := h.operations()
	for _, key := range keys {
		model := h.model.porcupine()
		limited, steps := model, new(atomic.Int64)
		limited.Step = func(state, input, output any) (bool, any) {
			if steps.Add(1) > mostSteps {
				return false, state // it ends soon
			}
			return model.Step(state, input, output)
		}
		legal, info := porcupine.CheckOperationsVerbose(limited, operations[key], 0)
		if legal == porcupine.Ok {
			continue
		}
		if steps.Load() > mostSteps {
			t.Errorf("the calls of %q cannot be checked, there are too many ways to order them: have fewer of them at a time, or fewer whose outcome is unknown", key)
			continue
		}
		t.Errorf("the calls of %q are not linearizable: %s\n%s", key, stuck(model, operations[key], info), draw(t, model, info))
	}
}

// stuck says how far the model could follow, in the longest order that it could, and which call had no place then: of those that are left, the one
// that ended first.
func stuck(model porcupine.Model, operations []porcupine.Operation, info porcupine.LinearizationInfo) string {
	var longest []int
	for _, order := range info.PartialLinearizations()[0] {
		if len(order) > len(longest) {
			longest = order
		}
	}
	state := model.Init()
	for _, i := range longest {
		_, state = model.Step(state, operations[i].Input, operations[i].Output)
	}
	var left *porcupine.Operation
	for i := range operations {
		if o := &operations[i]; !slices.Contains(longest, i) && (left == nil || o.Return < left.Return) {
			left = o
		}
	}
	return fmt.Sprintf("the model can follow %d of %d, until the state is %.500s, but then not this call of client %d: %.500s",
		len(longest), len(operations), model.DescribeState(state), left.ClientId, model.DescribeOperation(left.Input, left.Output))
}

// operations are the calls that have happened, or may have, by key, and the keys in the order of their first calls.
func (h *History[S, I, O]) operations() (keys []string, by map[string][]porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	by = make(map[string][]porcupine.Operation)
	lines := 0
	for _, r := range h.calls {
		lines = max(lines, r.client+1)
	}
	for _, r := range h.calls {
		if r.none {
			continue
		}
		if by[r.key] == nil {
			keys = append(keys, r.key)
		}
		o := porcupine.Operation{ClientId: r.client, Input: r.in, Call: r.began, Output: *r, Return: r.end}
		if r.end == 0 { // it overlaps what the client does next, so it is drawn on a line of its own
			o.ClientId, o.Return = lines, h.now+1
			lines++
		}
		by[r.key] = append(by[r.key], o)
	}
	return keys, by
}

func (m Model[S, I, O]) porcupine() porcupine.Model {
	equal := m.Equal
	if equal == nil {
		equal = func(got, want O) bool { return reflect.DeepEqual(got, want) }
	}
	return porcupine.Model{
		Init: func() any { return m.Init },
		Step: func(state, input, output any) (bool, any) {
			next, out, err := m.Step(state.(S), input.(I))
			if err != nil {
				next = state.(S)
			}
			got := output.(recorded[I, O])
			switch {
			case got.end == 0:
				return true, next
			case err != nil || got.err != nil:
				return err != nil && errors.Is(got.err, err), next
			}
			return equal(got.out, out), next
		},
		Equal: func(a, b any) bool { return reflect.DeepEqual(a, b) },
		DescribeOperation: func(input, output any) string {
			switch got := output.(recorded[I, O]); {
			case got.end == 0 && got.err == nil:
				return fmt.Sprintf("%v → ?", input)
			case got.end == 0:
				return fmt.Sprintf("client %d: %v → outcome unknown", got.client, input)
			case got.err != nil:
				return fmt.Sprintf("%v → %v", input, got.err)
			default:
				return fmt.Sprintf("%v → %v", input, got.out)
			}
		},
		DescribeState: func(state any) string { return fmt.Sprintf("%+v", state) },
	}
}

// draw writes the picture to a file and says where that is.
func draw(t testing.TB, model porcupine.Model, info porcupine.LinearizationInfo) string {
	dir, err := "", error(nil)
	if kept := flag.Lookup("test.artifacts"); kept != nil && kept.Value.String() == "true" {
		dir = t.ArtifactDir()
	} else {
		dir, err = os.MkdirTemp("", "highlandertest-") // the test's own would be removed with it
	}
	var path string
	if err == nil {
		path, err = drawIn(dir, model, info)
	}
	if err != nil {
		return fmt.Sprintf("there is no picture: %v", err)
	}
	return fmt.Sprintf("see %s (go test -artifacts keeps such pages among the test's artifacts)", path)
}

func drawIn(dir string, model porcupine.Model, info porcupine.LinearizationInfo) (path string, err error) {
	f, err := os.CreateTemp(dir, "history-*.html")
	if err != nil {
		return "", err
	}
	if err := errors.Join(porcupine.Visualize(model, info, f), f.Close()); err != nil {
		return "", err
	}
	return filepath.Abs(f.Name())
}
