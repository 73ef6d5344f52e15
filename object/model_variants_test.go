package object

// A variant is the model with one step of the protocol left out, changed, or in the wrong place.
type variant uint8

const (
	unbroken variant = iota
	noTakeoverWait
	loadBeforeWait
	ownLeaseLength
	checkedBeforeSampled
	readUnchecked
	writeUnchecked
	acceptedUnchecked
	adoptedUnchecked
	countedFromAcknowledgement
	renewedByPings
	connectionReused
	constantWriteID
	conditionIsFailure
	answerBeforePut
	errorBeforePut
	readableAfterRelease
	liveReadFirst
	liveListedFirst
	deletedAtOnce
	evictionUnguarded
	evictionTooSoon
	proofOfTheLiving
	retriedWithoutID
	resultsApart
	resultsLost
	failureUnrecorded
	unrecordedBelieved
	toldBeforePut
	floorTooSoon
	ranBelowFloor
)

// variants says for each what is broken, and in which model it must be found: the smallest that can show it.
var variants = []struct {
	variant variant
	name    string
	model   model
}{
	{noTakeoverWait, "no takeover wait", coreModel},
	{loadBeforeWait, "load before the wait", coreModel},
	{ownLeaseLength, "takeover wait from one's own lease length", coreModel.with(func(m *model) { m.leases[0] = 2 })},
	{checkedBeforeSampled, "lease checked before the state is sampled", coreModel.calling(anUpdate, aRead, aRead)},
	{readUnchecked, "no lease check before a read's answer", coreModel},
	{writeUnchecked, "no lease check before a write's answer", coreModel},
	{acceptedUnchecked, "update accepted on a lease that was checked before the load", coreModel.calling(anUpdate, anUpdate)},
	{adoptedUnchecked, "record adopted on a lapsed lease", coreModel.calling(anUpdate, anUpdate)},
	{countedFromAcknowledgement, "lease counted from the acknowledgement", coreModel},
	{renewedByPings, "lease renewed by pings", coreModel},
	{connectionReused, "connection reused after expiry", coreModel},
	{constantWriteID, "constant write id", coreModel.calling(anUpdate, anUpdate)},
	{conditionIsFailure, "412 taken as failure", coreModel},
	{answerBeforePut, "answer before the put", coreModel},
	{errorBeforePut, "error answered before the put that it saw", coreModel.calling(anUpdate, anInsert)},
	{readableAfterRelease, "state still readable after release", coreModel.with(withReleases)},
	{liveReadFirst, "live read before the container", coreModel.with(func(m *model) { m.joins = true })},
	{liveListedFirst, "live listed before members, unguarded deletion", presenceModel},
	{deletedAtOnce, "lost member deleted at once", coreModel.with(func(m *model) { m.burials = 1 << 1 })},
	{evictionUnguarded, "eviction without the version", evictionModel},
	{evictionTooSoon, "eviction before the takeover wait", evictionModel},
	{proofOfTheLiving, "restart proof taken from a living process", restartModel},
	{retriedWithoutID, "retry without request ids", onceModel},
	{resultsApart, "result recorded in a put of its own", onceModel},
	{resultsLost, "results lost at takeover", onceModel},
	{failureUnrecorded, "error of a second attempt not recorded", onceModel.calling(aFickle)},
	{unrecordedBelieved, "unrecorded answer believed in doubt", onceModel.calling(aFickle)},
	{toldBeforePut, "result told before its put", onceModel},
	{floorTooSoon, "floor raised before the answer", onceModel.calling(aRequest, aRequest)},
	{ranBelowFloor, "run below the floor", onceModel.calling(aRequest, aRequest)},
}

func (v variant) String() string {
	for _, b := range variants {
		if b.variant == v {
			return b.name
		}
	}
	return "unbroken"
}
