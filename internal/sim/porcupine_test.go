package sim_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/highlander-go/highlander/internal/sim"
)

// A state is an object's text, and where the search is.
type state struct {
	text   string
	unseen bool // an operation of unknown outcome has made a difference that nobody has seen yet
	over   bool // no operation follows whose outcome is known
}

// An object is a text. What an operation's error says of it counts, too.
//
// An operation of unknown outcome whose effect nobody sees where it stands might as well stand after the end. So that is the only place
// where it may: that spares porcupine to try all the others, which are too many.
var object = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(before, input, _ any) (bool, any) {
		s, op := before.(state), input.(*sim.Op)
		known := op.Outcome == sim.OK || op.Outcome == sim.Refused
		if s.over {
			return !known, s
		}
		blind := op.Kind == sim.Replace || op.Kind == sim.Delete || op.Kind == sim.PutIf && op.Loose
		if s.unseen && (op == theEnd || blind && op.Outcome != sim.Refused) {
			return false, s
		}
		if op == theEnd {
			return true, state{over: true}
		}
		possible, after := step(s.text, op)
		if !known {
			return after != s.text, state{text: after, unseen: true}
		}
		return possible, state{text: after, unseen: s.unseen && op.Kind == sim.PutIf && op.Outcome == sim.Refused}
	},
	DescribeOperation: func(input, _ any) string { return input.(*sim.Op).String() },
}

// theEnd comes after all operations whose outcome is known.
var theEnd = &sim.Op{ID: "the end"}

// step tells whether the operation may have had its outcome in the state, and the state after it if it has an effect.
func step(s string, op *sim.Op) (bool, string) {
	switch op.Kind {
	case sim.Get, sim.Show, sim.Touch:
		return s == op.Text, s
	case sim.Refuse, sim.Spoil, sim.Panic:
		return op.Outcome == sim.Refused && s == op.Text, s
	case sim.Add, sim.AddLater, sim.Forward:
		after := s + op.Arg + " "
		return after == op.Text, after
	case sim.Forwarded:
		return true, s + op.Arg + " "
	case sim.AddOnce:
		after := s + op.Arg + " "
		if strings.Contains(" "+s, " "+op.Arg+" ") {
			return op.Outcome == sim.Refused, s
		}
		return op.Outcome == sim.OK && after == op.Text, after
	case sim.Replace:
		return true, op.Arg
	case sim.Delete:
		return true, ""
	default: // PutIf: the version that it asks for stands for a text, but the same text may come again with another version
		switch {
		case op.Outcome == sim.Refused:
			return true, s
		case s == op.If || op.Loose:
			return true, op.Arg
		}
		return false, s
	}
}

// linearizable checks the history of each object. What nobody knows the outcome of may have happened at any time after its call, or never.
func linearizable(r *sim.Result) (wrong []string, undecided int) {
	histories := make(map[string][]porcupine.Operation)
	var end int64
	for _, op := range r.Ops {
		end = max(end, 2*int64(op.Return)+2, 2*int64(op.Call)+2)
	}
	for i, op := range r.Ops {
		o := porcupine.Operation{ClientId: i, Input: op, Call: 2 * int64(op.Call), Return: 2*int64(op.Return) + 1} // at one time: concurrent
		switch {
		case op.Outcome == sim.NoEffect, op.Kind.Reads() && op.Outcome != sim.OK:
			continue
		case op.Outcome == sim.Pending, op.Outcome == sim.Unknown:
			if op.Kind.Adds() && !r.Shown(op.Arg) {
				continue // it makes no difference; that spares porcupine the question when it happened
			}
			o.Return = end + 2
		}
		histories[op.Key] = append(histories[op.Key], o)
	}
	for key, h := range histories {
		h = append(h, porcupine.Operation{ClientId: len(r.Ops), Input: theEnd, Call: end, Return: end + 1})
		switch porcupine.CheckOperationsTimeout(object, h, 5*time.Second) {
		case porcupine.Illegal:
			wrong = append(wrong, fmt.Sprintf("%s is not linearizable", key))
		case porcupine.Unknown:
			undecided++
		}
	}
	return wrong, undecided
}
