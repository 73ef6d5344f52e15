package sim

import (
	"maps"
	"slices"
	"time"
)

// A profile is what a run is like. Each seed has one.
type profile struct {
	name                 string
	nodes, clients, keys [2]int        // from, to
	length               time.Duration // until the troubles are over
	think, patience      time.Duration // of clients: between calls, and the longest deadline of one
	reads                float64       // part of the calls
	updates              []Kind        // the others, each as likely as the next
	requestIDs           float64       // chance that an update has an id from outside, by which its client calls it again
	older                float64       // chance that a machine has the older version of the program
	stops                float64       // chance that a machine's nodes stop on disconnect
	clientOnly           float64       // chance of a machine whose nodes own nothing
	idle                 time.Duration // after which objects are let go; 0: never
	pauseAtGate          float64       // chance, at each gate
	crashAtGate          float64
	latePuts             float64       // chance of a put
	storeFaults          float64       // chance of a request
	zkTakes              time.Duration // usually, each way
	zkSlow               float64       // chance that an answer of ZooKeeper is late, by up to some leases
	zkFaults             float64       // chance of a request
	lostPackets          float64       // chance of a packet between nodes
	stateDirs            bool          // machines have state directories
	faultEvery           time.Duration
	faults               []fault // their weights add up to 1
	least                Counts  // in a run, on the average, of a batch that is worth anything
}

// Counts says how often what has happened, see [Result].Seen.
type Counts map[string]float64

// LeastOps is how many operations must have succeeded in a run that is worth anything.
const LeastOps = 4

// Least is how often what must have happened in a run of the profile, on the average of a batch: what the profile says, and of each fault a quarter of
// what is drawn, for some hit nobody.
func Least(name string) Counts {
	p := &profiles[slices.IndexFunc(profiles, func(p profile) bool { return p.name == name })]
	all := maps.Clone(p.least)
	for _, f := range p.faults {
		often := f.weight * float64(p.length/p.faultEvery)
		if f.kind == "join" {
			often = min(often, maxJoins)
		}
		all[f.kind] = max(all[f.kind], often/4)
	}
	return all
}

type fault struct {
	kind   string
	weight float64
}

// Where the profile of a run makes something more likely, it is so that what it can bring to light is found within fewer runs; nothing is
// possible in one profile only.
var usual = []Kind{Add, Add, Add, AddLater, AddOnce, AddOnce, Refuse, Spoil, Panic, Touch, Forward, Replace, PutIf, PutIf, Delete}

var profiles = []profile{
	{name: "mixed", zkTakes: 2 * time.Millisecond, updates: usual, older: .3, stops: .15, requestIDs: .2, clientOnly: .3, nodes: [2]int{2, 5}, clients: [2]int{3, 6}, keys: [2]int{1, 3}, length: 4 * time.Second,
		think: 60 * time.Millisecond, patience: 3 * time.Second, reads: .4, idle: 700 * time.Millisecond,
		pauseAtGate: .0005, crashAtGate: .0001, latePuts: .05, storeFaults: .1, lostPackets: .05, zkFaults: .01, faultEvery: 400 * time.Millisecond,
		faults: []fault{{"pause", .2}, {"crash", .15}, {"trouble in ZooKeeper", .1}, {"cut off from ZooKeeper", .1}, {"session expired", .1},
			{"one way cut", .1}, {"store down", .05}, {"cut off", .05}, {"drain", .1}, {"join", .05}},
		least: Counts{"op ok": 15, "op refused": 3, "op unknown": 2, "op through a client": 1, "claim": 3, "pause": 1, "drained": .3, "put held up": .3, "put landed late": .04, "store fault": .8, "answer lost": .6, "request lost": 1, "request refused": 1, "request to ZooKeeper lost": .6, "answer of ZooKeeper lost": .6, "session expired": 1, "released when idle": .8, "stop on disconnect": .2}},
	{name: "pauses", zkTakes: 10 * time.Millisecond, updates: usual, older: .3, stops: .15, requestIDs: .2, clientOnly: .3, nodes: [2]int{2, 3}, clients: [2]int{3, 6}, keys: [2]int{1, 1}, length: 6 * time.Second,
		think: 30 * time.Millisecond, patience: 5 * time.Second, reads: .7, pauseAtGate: .004, latePuts: .3, faultEvery: 600 * time.Millisecond,
		faults: []fault{{"pause", .5}, {"cut off from ZooKeeper", .2}, {"cut off", .1}, {"trouble in ZooKeeper", .2}},
		least:  Counts{"op ok": 20, "pause": 3, "put held up": .8, "put landed late": .1, "session expired unseen": 1.5}},
	{name: "readers", zkTakes: 2 * time.Millisecond, updates: usual, older: .3, stops: .15, requestIDs: .2, clientOnly: .3, nodes: [2]int{2, 2}, clients: [2]int{3, 5}, keys: [2]int{1, 1}, length: 6 * time.Second,
		think: 30 * time.Millisecond, patience: 5 * time.Second, reads: .98, pauseAtGate: .006, latePuts: .7, faultEvery: 1200 * time.Millisecond,
		faults: []fault{{"pause", .5}, {"cut off from ZooKeeper", .2}, {"trouble in ZooKeeper", .3}},
		least:  Counts{"op ok": 50, "pause": 3, "session expired unseen": 1}},
	{name: "cut off", zkTakes: 2 * time.Millisecond, updates: usual, older: .3, stops: .15, requestIDs: .2, clientOnly: .3, nodes: [2]int{2, 3}, clients: [2]int{4, 6}, keys: [2]int{1, 1}, length: 6 * time.Second,
		think: 30 * time.Millisecond, patience: 8 * time.Second, reads: .8, pauseAtGate: .001, latePuts: .1, faultEvery: 1200 * time.Millisecond,
		faults: []fault{{"cut off", .6}, {"cut off from ZooKeeper", .4}},
		least:  Counts{"op ok": 120, "put held up": 1, "session expired unseen": 1}},
	{name: "moves", zkTakes: 8 * time.Millisecond, zkSlow: .06, updates: usual, older: .3, stops: .15, requestIDs: .2, clientOnly: .3, nodes: [2]int{2, 4}, clients: [2]int{4, 6}, keys: [2]int{1, 1}, length: 4 * time.Second,
		think: 20 * time.Millisecond, patience: 2 * time.Second, reads: .7, idle: 100 * time.Millisecond,
		pauseAtGate: .0005, latePuts: .05, storeFaults: .02, faultEvery: 350 * time.Millisecond,
		faults: []fault{{"all sessions expired", .1}, {"session expired", .1}, {"drain", .6}, {"cut off from ZooKeeper", .2}},
		least:  Counts{"op ok": 40, "claim": 3, "drained": 2, "released when idle": 1, "released by a drain": 1}},
	{name: "bad store", zkTakes: 2 * time.Millisecond, updates: usual, older: .3, stops: .15, requestIDs: .2, clientOnly: .3, nodes: [2]int{2, 3}, clients: [2]int{4, 6}, keys: [2]int{1, 2}, length: 4 * time.Second,
		think: 40 * time.Millisecond, patience: 4 * time.Second, reads: .3,
		latePuts: .3, storeFaults: .35, faultEvery: 600 * time.Millisecond,
		faults: []fault{{"crash", .3}, {"session expired", .3}, {"store down", .3}, {"cut off", .1}},
		least:  Counts{"op ok": 10, "op unknown": 3, "put held up": 1.2, "put landed late": .2, "store fault": 2, "put refused": 1, "request to a store that is down": .6}},
	{name: "cuts", zkTakes: 2 * time.Millisecond, updates: usual, older: .3, stops: .15, requestIDs: .2, clientOnly: .3, nodes: [2]int{3, 4}, clients: [2]int{5, 6}, keys: [2]int{1, 2}, length: 7 * time.Second,
		think: 20 * time.Millisecond, patience: 2 * time.Second, reads: .7, lostPackets: .02, faultEvery: 600 * time.Millisecond,
		faults: []fault{{"one way cut", .8}, {"crash", .2}},
		least:  Counts{"op ok": 120, "lost by a cut": 2, "answer lost": 5, "request lost": 4, "request refused": 3}},
	{name: "restarts", zkTakes: 2 * time.Millisecond, updates: usual, older: .3, stops: .15, requestIDs: .2, clientOnly: .3, nodes: [2]int{2, 3}, clients: [2]int{4, 6}, keys: [2]int{1, 1}, length: 5 * time.Second, stateDirs: true,
		think: 20 * time.Millisecond, patience: 2 * time.Second, reads: .7, faultEvery: 700 * time.Millisecond,
		faults: []fault{{"second process", .4}, {"crash", .3}, {"cut off from ZooKeeper", .2}, {"pause", .1}},
		least:  Counts{"op ok": 200, "request refused": 2}},
	{name: "crashes", zkTakes: 2 * time.Millisecond, updates: usual, older: .3, stops: .15, requestIDs: .2, clientOnly: .3, nodes: [2]int{3, 4}, clients: [2]int{4, 6}, keys: [2]int{1, 2}, length: 5 * time.Second,
		think: 30 * time.Millisecond, patience: 3 * time.Second, reads: .3,
		crashAtGate: .0007, latePuts: .1, storeFaults: .05, faultEvery: 400 * time.Millisecond,
		faults: []fault{{"crash", .8}, {"one way cut", .2}},
		least:  Counts{"op ok": 13, "put held up": .4, "put landed late": .2, "request refused": 5}},
	{name: "once", zkTakes: 2 * time.Millisecond, updates: []Kind{Add, Add, AddOnce, Forward, Forward, Forward, Refuse, Spoil},
		requestIDs: .3, stops: .15, clientOnly: .3, nodes: [2]int{2, 3}, clients: [2]int{3, 3}, keys: [2]int{2, 3}, length: 4 * time.Second,
		think: 20 * time.Millisecond, patience: 2 * time.Second, reads: .2,
		crashAtGate: .0004, latePuts: .05, storeFaults: .1, lostPackets: .1, faultEvery: 500 * time.Millisecond,
		faults: []fault{{"crash", .3}, {"session expired", .3}, {"one way cut", .2}, {"drain", .2}},
		least:  Counts{"op ok": 20, "op of two objects ok": 2, "answer lost": 1, "request lost": 1, "try with a request id": 1, "op known after a try with its request id": .5}},
	{name: "groups", zkTakes: 2 * time.Millisecond, updates: []Kind{Add, Add, AddLater, AddOnce, AddOnce, Refuse, Spoil, Spoil, Panic, Panic, PutIf, PutIf, Delete},
		older: .3, stops: .15, requestIDs: .2, clientOnly: .3, nodes: [2]int{2, 3}, clients: [2]int{7, 9}, keys: [2]int{1, 1}, length: 3 * time.Second,
		think: 5 * time.Millisecond, patience: 2 * time.Second, reads: .2,
		pauseAtGate: .0002, latePuts: .02, storeFaults: .05, faultEvery: 400 * time.Millisecond,
		faults: []fault{{"crash", .3}, {"drain", .4}, {"session expired", .2}, {"store down", .1}},
		least:  Counts{"op ok": 35, "op refused": 25, "put of several updates": 2, "drained": 1}},
	{name: "leaving", zkTakes: 2 * time.Millisecond, updates: []Kind{Add, Add, AddLater, AddLater, AddOnce, Touch, PutIf, Delete, Delete},
		older: .4, stops: .15, requestIDs: .2, clientOnly: .3, nodes: [2]int{2, 3}, clients: [2]int{3, 5}, keys: [2]int{2, 3}, length: 4 * time.Second,
		think: 100 * time.Millisecond, patience: 2 * time.Second, reads: .4, idle: 80 * time.Millisecond,
		latePuts: .03, storeFaults: .02, faultEvery: 300 * time.Millisecond,
		faults: []fault{{"drain", .6}, {"crash", .2}, {"join", .2}},
		least:  Counts{"op ok": 20, "claim": 9, "tombstone": 2, "drained": 3, "released when idle": 7, "released by a drain": 2, "released by a call that wants another version": .1}},
	{name: "joins", zkTakes: 4 * time.Millisecond, updates: usual, older: .3, requestIDs: .2, clientOnly: .3, nodes: [2]int{2, 2}, clients: [2]int{4, 6}, keys: [2]int{1, 1}, length: 5 * time.Second,
		think: 20 * time.Millisecond, patience: 3 * time.Second, reads: .8,
		latePuts: .1, faultEvery: 500 * time.Millisecond,
		faults: []fault{{"join", .3}, {"cut off", .3}, {"cut off from ZooKeeper", .2}, {"drain", .2}},
		least:  Counts{"op ok": 120, "op through a client": 6, "claim": 1.3, "put held up": 1, "session expired unseen": 1, "released by a call that wants another version": .1}},
	{name: "disconnects", zkTakes: 2 * time.Millisecond, updates: usual, older: .2, stops: .7, requestIDs: .2, clientOnly: .3, nodes: [2]int{2, 3}, clients: [2]int{4, 6}, keys: [2]int{1, 1}, length: 4 * time.Second,
		think: 20 * time.Millisecond, patience: 3 * time.Second, reads: .7, zkFaults: .01, faultEvery: 400 * time.Millisecond,
		faults: []fault{{"cut off from ZooKeeper", .5}, {"trouble in ZooKeeper", .4}, {"pause", .1}},
		least:  Counts{"op ok": 90, "stop on disconnect": 1.2}},
}
