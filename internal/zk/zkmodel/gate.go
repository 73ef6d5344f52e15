package zkmodel

import (
	"context"
	"fmt"
)

// A Gate is called without locks before a request enters the model, and again before its answer is returned. A scheduler that parks
// all such calls and lets them go one by one, each when the bubble has come to rest (synctest.Wait), chooses the order of everything. ctx is
// that of the request; a request whose context ends while its answer is parked has the answer all the same if it has come by then.
//
// What is returned counts where a request enters only.
type Gate func(ctx context.Context, p Point) Fate

// A Point is where a call is: the same in each run, as long as each goroutine does the same.
type Point struct {
	Client  Host
	Session int64  // 0 in Open
	Op      string // the method's name in small letters
	Path    string // of a multi, that of its first part
	N       int    // counts the calls of this client, session, operation and path, from 1
	Answer  bool   // the answer is about to be returned
}

func (p Point) String() string {
	end := "enters"
	if p.Answer {
		end = "returns"
	}
	return fmt.Sprintf("%s/%d %s %s #%d %s", p.Client, p.Session, p.Op, p.Path, p.N, end)
}

// A Fate is what becomes of a request.
type Fate int

const (
	Deliver     Fate = iota
	LoseRequest      // the connection breaks when it is sent: it is never carried out
	LoseAnswer       // it is carried out, and the connection breaks when it should be answered
)

func (m *Model) gate(ctx context.Context, p Point) Fate {
	if m.config.Gate == nil {
		return Deliver
	}
	return m.config.Gate(ctx, p)
}
