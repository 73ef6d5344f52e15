// Package supervisor runs goroutines as trees: a supervisor starts its children in order, restarts them when they end,
// and stops them in reverse order, each within its time limit.
//
// A child is a function that runs until its context ends. When it returns, panics or calls runtime.Goexit before that, it
// has ended, and what happens is the supervisor's [Strategy]. Every child is permanent: nil is an ending like any other
// ([ErrReturned]), so a child whose work is done waits for its context. A child that ends before it said ready has failed
// to start, which counts as an ending.
//
// A [Supervisor]'s Run has the shape of a child's Run, so trees nest: it is ready when all its children are up at once, and
// its failure is an ending to the supervisor above.
//
// # Restarts
//
// Between an ending and the next start lies a delay that doubles with each ending of that child, up to a maximum, and
// begins anew once the child has stayed up for a while. More than [Spec.MaxRestarts] endings within [Spec.Window], of all
// children together, are too many: the supervisor stops its children and returns [ErrTooManyRestarts]. Endings that
// [Spec.Counts] exempts, such as the outage of a remote service, wait for their delay but never use up that allowance.
//
// A child may end while others are being started or stopped. It is dealt with when that stop is over; if it was to be
// stopped itself, for the sake of another, its ending is part of that restart and is not counted.
//
// # Stops
//
// Children are stopped one after another in reverse order of [Spec.Children]. One that has not returned [Child.StopTimeout]
// after its context ended is given up: the supervisor goes on with the others, and Run's error is [ErrNotStopped]. Its
// goroutine is the only one that outlives Run. A supervisor never starts a second instance next to such a goroutine: when
// it happens in the course of a restart, the supervisor stops the rest and fails, and so does every supervisor above it.
// The owner of the root decides, usually by ending the process. A child that wraps a supervisor's Run and returns
// another error has decided for itself.
//
// The model is Erlang/OTP's supervisor behaviour: https://www.erlang.org/doc/system/sup_princ.html. It differs in the
// delays, in the exempted endings, in goroutines, which unlike processes cannot be killed, and in one-for-one restarts,
// which do not wait for each other.
package supervisor
