package sim_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/highlander-go/highlander/internal/sim"
)

// An object is a text. What an operation's error says of it counts, too.
var object = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		s, op := state.(string), input.(*sim.Op)
		told := op.Outcome == sim.OK || op.Outcome == sim.Refused
		switch after := s + op.Arg + " "; op.Kind {
		case sim.Get, sim.Show, sim.Refuse, sim.Touch:
			return !told || s == op.Text, s
		case sim.Add:
			return !told || after == op.Text, after
		case sim.AddOnce:
			has := strings.Contains(" "+s, " "+op.Arg+" ")
			switch {
			case has:
				return op.Outcome != sim.OK, s
			case !told:
				return true, after
			default:
				return op.Outcome == sim.OK && after == op.Text, after
			}
		case sim.Replace:
			return true, op.Arg
		default: // the version that it asks for stands for a text, but the same text may come again with another version
			switch op.Outcome {
			case sim.OK:
				return s == op.If, op.Arg
			case sim.Refused:
				return true, s
			}
			if s == op.If {
				return true, op.Arg
			}
			return true, s
		}
	},
	DescribeOperation: func(input, _ any) string { return input.(*sim.Op).String() },
}

// linearizable checks the history of each object. What nobody knows the outcome of may have happened at any time after its call, or never.
func linearizable(r *sim.Result) (wrong []string, undecided int) {
	histories := make(map[string][]porcupine.Operation)
	var end int64
	for _, op := range r.Ops {
		end = max(end, 2*int64(op.Return)+2)
	}
	for i, op := range r.Ops {
		o := porcupine.Operation{ClientId: i, Input: op, Call: 2 * int64(op.Call), Return: 2*int64(op.Return) + 1} // at one time: concurrent
		switch {
		case op.Outcome == sim.NoEffect, op.Kind.Reads() && op.Outcome != sim.OK:
			continue
		case op.Outcome == sim.Pending, op.Outcome == sim.Unknown:
			if op.Kind == sim.Add && !r.Shown(op.Arg) {
				continue // it makes no difference; that spares porcupine the question when it happened
			}
			o.Return = end
		}
		histories[op.Key] = append(histories[op.Key], o)
	}
	for key, h := range histories {
		switch porcupine.CheckOperationsTimeout(object, h, 5*time.Second) {
		case porcupine.Illegal:
			wrong = append(wrong, fmt.Sprintf("%s is not linearizable", key))
		case porcupine.Unknown:
			undecided++
		}
	}
	return wrong, undecided
}
