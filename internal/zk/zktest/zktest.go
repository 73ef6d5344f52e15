// Package zktest is the script that every [zk.Ensemble] must pass, real servers and their model alike, so that the model cannot be kinder than the truth.
//
// It runs in real time and inside a testing/synctest bubble alike: it waits for conditions instead of sleeping until something must have happened. Each
// check works under a path of its own, so that one ensemble serves all of them; checks leave sessions closed and servers running, but nodes behind.
//
//	func TestConformance(t *testing.T) {
//		zktest.Run(t, func(t *testing.T) zktest.Harness { return ... })
//	}
//
// What a harness cannot do, checks that need it are skipped for.
package zktest

import (
	"testing"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
)

// A Harness gives access to a running ensemble. It must be safe for concurrent use.
type Harness interface {
	// Servers is the number of servers, which are counted from 0.
	Servers() int

	// Timeout is the session timeout that checks ask for and that the servers grant as it is. With real servers make it 2 s or
	// more, and six ticks or more.
	Timeout() time.Duration

	// Ensemble returns the ensemble as a client sees it that knows the servers given; all of them if none is given.
	Ensemble(servers ...int) (zk.Ensemble, error)
}

// A Disconnecter can break a session's connection, so that both ends notice. It may come back at once.
type Disconnecter interface {
	Disconnect(zk.Session) error
}

// An Isolator can hold what passes between a session and the servers, in both directions, so that neither end notices anything but silence.
// Other sessions are not touched.
type Isolator interface {
	Isolate(zk.Session) error
	Rejoin(zk.Session) error
}

// An Expirer can make the servers end a session, as if its timeout had passed, before the session knows. It returns
// when the leader has done so.
type Expirer interface {
	Expire(zk.Session) error
}

// A Killer can end servers' processes and start them again, with what they have on disk. Start returns when the server serves.
type Killer interface {
	Kill(server int) error
	Start(server int) error
}

// A Pauser can stop servers' processes (SIGSTOP) and let them go on, and knows who leads.
type Pauser interface {
	Pause(server int) error
	Resume(server int) error
	Leader() (server int, err error)
}

// A Collector collects empty containers soon after Collect was called, or every few seconds anyway.
type Collector interface {
	Collect() error
}

// A T is what a check reports to: a *testing.T, or the recorder of a test of the script itself. Fatalf and Skipf
// must end the calling goroutine.
type T interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// A Check is one statement about ensembles.
type Check struct {
	Name string // as a test's name, unique
	Run  func(T, Harness)
}

// Run runs every check as a subtest. open may return the same harness each time, or a new one that it has
// cleaned up with the subtest.
func Run(t *testing.T, open func(*testing.T) Harness) {
	for _, c := range Checks() {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, open(t)) })
	}
}

// Checks returns all checks.
func Checks() []Check {
	checks := []struct {
		name string
		run  func(*scene)
	}{
		{"OpenGivesASession", openGivesASession},
		{"OpenEndsWithItsContext", openEndsWithItsContext},

		{"NodesHaveVersions", nodesHaveVersions},
		{"CreateNeedsAParentAndAFreeName", createNeedsAParentAndAFreeName},
		{"EphemeralNodesHaveNoChildren", ephemeralNodesHaveNoChildren},
		{"OddPathsAreRefused", oddPathsAreRefused},
		{"ChildrenAreListed", childrenAreListed},
		{"DeleteSparesWhatHasChildren", deleteSparesWhatHasChildren},
		{"SequenceCountsCreations", sequenceCountsCreations},
		{"SequenceBeginsAnewWithItsParent", sequenceBeginsAnewWithItsParent},
		{"MultiIsAllOrNothing", multiIsAllOrNothing},
		{"MultiSeesItsOwnParts", multiSeesItsOwnParts},
		{"DataIsCopied", dataIsCopied},

		{"ContainerGoesAfterItsLastChild", containerGoesAfterItsLastChild},
		{"ContainerMadeAnewCountsFromZero", containerMadeAnewCountsFromZero},

		{"WatchFiresOnce", watchFiresOnce},
		{"WatchIsOfTheListAlone", watchIsOfTheListAlone},
		{"WatchHearsOfTheNodesEnd", watchHearsOfTheNodesEnd},
		{"WatchOfNothingIsNone", watchOfNothingIsNone},
		{"EventComesBeforeItsSight", eventComesBeforeItsSight},
		{"EventComesBeforeOnesOwnAnswer", eventComesBeforeOnesOwnAnswer},

		{"SyncCatchesUp", syncCatchesUp},
		{"ReadsFollowOnesOwnWrites", readsFollowOnesOwnWrites},
		{"RequestsGivenUpKeepTheirPlace", requestsGivenUpKeepTheirPlace},

		{"CloseDeletesEphemeralsAtOnce", closeDeletesEphemeralsAtOnce},
		{"ClosedSessionIsOver", closedSessionIsOver},
		{"AnybodyMayDeleteEphemerals", anybodyMayDeleteEphemerals},
		{"ExpiryIsToldAndLast", expiryIsToldAndLast},
		{"ExpiryDeletesEphemeralsAtOnce", expiryDeletesEphemeralsAtOnce},

		{"DisconnectKeepsTheSession", disconnectKeepsTheSession},
		{"WatchesSurviveADisconnect", watchesSurviveADisconnect},
		{"RequestsInFlightAreUnknown", requestsInFlightAreUnknown},
		{"ReadsNeverGoBack", readsNeverGoBack},
		{"SilenceEndsTheConnectionThenTheSession", silenceEndsTheConnectionThenTheSession},
		{"ShortSilenceDelaysOnly", shortSilenceDelaysOnly},
		{"SessionMovesFromServerToServer", sessionMovesFromServerToServer},
		{"SilentServerIsLeft", silentServerIsLeft},
		{"AcknowledgedWriteIsNoTouch", acknowledgedWriteIsNoTouch},
	}
	var all []Check
	for _, c := range checks {
		all = append(all, Check{c.name, func(t T, h Harness) {
			s := newScene(t, h, c.name)
			defer s.end()
			c.run(s)
		}})
	}
	return all
}
