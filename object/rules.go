package object

import "time"

// The rules of ownership: every decision that an answer's truth hangs on, as functions of their arguments
// alone. They do no I/O, start nothing and know no clock, so that tests, the simulation and the model run
// the very rules that the host runs.

// TakeoverWait is how long a lost member's objects stay unserved: after it the lost member cannot answer
// from memory any more. It is the lost member's lease, plus 5% for clocks that run at different rates, plus
// 100 ms for what lies between an answer's lease check and the answer. It counts from when the loss was seen, and
// the member's last acknowledged renewal was sent before that.
func TakeoverWait(lease time.Duration) time.Duration {
	return lease + lease/20 + 100*time.Millisecond
}

// A LostMember is a member that is gone without having retired.
type LostMember struct {
	Seen  time.Duration // when this node first saw the loss, on its own clock
	Lease time.Duration // the length that the lost member gave for its lease, which may differ from ours
}

// ServeAt is the moment from which a claim may serve that was won while the members lost were still
// listed. Nobody lost: at once (the zero time). It does not matter whether the key was theirs: the claim cannot know, and an object without
// a record waits too, for the lost owner may be answering from the defaults.
func ServeAt(lost []LostMember) time.Duration {
	var at time.Duration
	for _, m := range lost {
		at = max(at, m.Seen+TakeoverWait(m.Lease))
	}
	return at
}

// An answer is what may be done with a call that is ready to be answered out of a state that is durable.
type answer int

const (
	answerNow         answer = iota // the lease holds: answer
	answerWait                      // it has lapsed: wait for the next acknowledged renewal, then look again
	answerUnavailable               // no renewal for a session timeout: say so at once
	answerEnded                     // the session is over: nothing that was sampled under it may be answered
)

// mayAnswer decides over an answer. now must have been read after the state was sampled: a lease that is
// valid then says that no other owner had written when the state was the newest.
func mayAnswer(now, validUntil, unavailableAt time.Duration, ended bool) answer {
	switch {
	case ended:
		return answerEnded
	case now < validUntil:
		return answerNow
	case now >= unavailableAt:
		return answerUnavailable
	default:
		return answerWait
	}
}

// A putResult is what one attempt to write a record came to.
type putResult int

const (
	putOK        putResult = iota // the store has it
	putCondition                  // the blob is not the one that we know
	putNoBlob                     // the blob that we know is gone
	putRefused                    // this attempt surely has not taken effect
	putUnknown                    // it may have, may yet, or never: a timeout, a reset, a conflict, a failure inside the store
)

// A putStep is what follows.
type putStep int

const (
	stepDone   putStep = iota // durable: keep the tag
	stepAgain                 // the same bytes under the same condition again, after a pause
	stepLook                  // read the record to find out whose it is
	stepAdopt                 // take the record found as committed, run the updates again on it
	stepWait                  // wait for the lease to be renewed, then look again
	stepRefuse                // these updates surely had no effect; the object goes on
	stepGone                  // somebody deleted the record behind the owner's back: end the activation
	stepClash                 // somebody else writes this record: end the activation, outcome unknown, alarm
)

// afterPut decides what follows an attempt. doubt says that an earlier attempt with these bytes had an
// unknown result: what is said of this attempt then says nothing of that one.
func afterPut(r putResult, doubt bool) putStep {
	switch {
	case r == putOK:
		return stepDone
	case r == putCondition:
		return stepLook
	case r == putNoBlob && !doubt:
		return stepGone
	case r == putNoBlob:
		return stepClash
	case r == putRefused && !doubt:
		return stepRefuse
	default:
		return stepAgain
	}
}

// A found is what stands where our record was to go.
type found int

const (
	foundOurs       found = iota // the record with our write id
	foundOther                   // another record, newer than the one that ours was to follow
	foundOlder                   // another record, not newer: somebody has put back an old one
	foundNone                    // surely nothing
	foundUnreadable              // something that is surely not a record of the object
)

// afterLook decides what is to be done about what was found. leaseValid must have been read after it was found: only
// an owner's reading is the last word. wrote: an earlier put of this activation has succeeded, so that no
// predecessor's late write can be in the way.
func afterLook(f found, leaseValid, wrote, doubt bool) putStep {
	switch {
	case f == foundOurs:
		return stepDone
	case f == foundNone && !doubt:
		return stepGone
	case f == foundOther && !leaseValid:
		return stepWait
	case f != foundOther || wrote:
		return stepClash
	default:
		return stepAdopt
	}
}

// nextEpoch is the epoch of a record that follows one of epoch last, which is 0 when there is none. same says
// that the incarnation which writes now wrote that one too. An epoch has one writer and never falls.
func nextEpoch(last uint64, same bool) uint64 {
	if same {
		return last
	}
	return last + 1
}

// Newer tells whether r is a later record of its object than o: a higher epoch, then a higher version.
// Any record is newer than none.
func (r *Record) Newer(o *Record) bool {
	switch {
	case r == nil:
		return false
	case o == nil:
		return true
	case r.Epoch != o.Epoch:
		return r.Epoch > o.Epoch
	default:
		return r.Version > o.Version
	}
}
