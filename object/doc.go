// Package object is what a durable object is: one named thing, a user, a list, a document, that is served by one
// goroutine at a time on one node of a cluster, and whose state outlives that node.
//
// # Types, states and methods
//
// objgen makes types of objects out of plain structs: docs/objects.md is a tour. What it writes, and what can be written by hand, is a [Type]: it describes
// objects of one kind. Its parameter is their state, a plain struct:
//
//	type Todo struct {
//		Title     string
//		Completed bool
//	}
//
//	var complete = object.Update("Complete", func(ctx context.Context, t *Todo, _ object.None) (object.None, error) {
//		t.Completed = true
//		return object.None{}, nil
//	})
//
//	var Todos = &object.Type[Todo]{Name: "todo", Methods: []object.Method[Todo]{complete}}
//
// A node that was opened with the type serves its objects, and any node calls them:
//
//	todos := Todos.On(node)
//	err := todos.Put(ctx, id, Todo{Title: "write"})
//	todo, err := todos.Get(ctx, id)                      // from memory
//	_, err = complete.Call(ctx, todos.Ref(id), object.None{}) // at the owner, durable when it returns
//
// Objects are not created: one that was never written has its type's default state. A call wakes the object if it
// is not in memory, and after [Type].Idle without calls it is let go.
//
// # What methods may do
//
// An update ([Update]) gets a copy of the state and changes it. Updates of one object run one at a time. What an update
// returns is told to its caller when the change is durable; if it fails or panics nothing changes. It may be run more
// than once for one call: on a state that turns out to be void, because a record that a former owner had sent came late, because
// a put was refused. Only the last run counts. What it does besides changing the state must bear that.
//
// A read ([Read]) gets the committed state itself, at once, while updates and other reads run. It must not change it.
//
// [From] tells a method whose call it serves, [Env] gives it what the application handed to the node. Methods may call
// other objects with their context. A call of an update that would wait for itself fails with [ErrCycle].
//
// # What calls can fail with
//
// [ErrUnavailable]: nothing has changed, the call may be made again. [ErrUnknownOutcome]: nobody can tell. Other
// errors of this package say that nothing has changed and why. A method's own errors come back as they are.
//
// # How it works
//
// A [Host] serves objects under a [Session] of a [Registry], which says who owns what. Each object in memory is an
// activation: claimed, loaded, serving, released. Its updates queue; what has run while one record was being put goes into
// the next put together. The rules that decide what may be answered and what the store's answers mean are functions without
// side effects, in rules.go. Start reading there, then lease.go, activation.go, work.go and commit.go. How a call finds the
// node that owns its object is in route.go.
package object
