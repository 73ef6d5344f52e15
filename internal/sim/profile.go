package sim

import "time"

// A profile is what a run is like. Each seed has one.
type profile struct {
	name                 string
	nodes, clients, keys [2]int        // from, to
	length               time.Duration // until the troubles are over
	think, patience      time.Duration // of clients: between calls, and the longest deadline of one
	reads                float64       // part of the calls
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
}

type fault struct {
	kind   string
	weight float64
}

// Where the profile of a run makes something more likely, it is so that what it can bring to light is found within fewer runs; nothing is
// possible in one profile only.
var profiles = []profile{
	{name: "mixed", zkTakes: 2 * time.Millisecond, nodes: [2]int{2, 5}, clients: [2]int{3, 6}, keys: [2]int{1, 3}, length: 4 * time.Second,
		think: 60 * time.Millisecond, patience: 3 * time.Second, reads: .4, idle: 700 * time.Millisecond,
		pauseAtGate: .0005, crashAtGate: .0001, latePuts: .05, storeFaults: .1, lostPackets: .05, zkFaults: .01, faultEvery: 400 * time.Millisecond,
		faults: []fault{{"pause", .2}, {"crash", .15}, {"trouble in ZooKeeper", .1}, {"cut off from ZooKeeper", .1}, {"session expired", .1},
			{"one way cut", .1}, {"store down", .05}, {"cut off", .05}, {"drain", .15}}},
	{name: "pauses", zkTakes: 10 * time.Millisecond, nodes: [2]int{2, 3}, clients: [2]int{3, 6}, keys: [2]int{1, 1}, length: 6 * time.Second,
		think: 30 * time.Millisecond, patience: 5 * time.Second, reads: .7, pauseAtGate: .004, latePuts: .3, faultEvery: 600 * time.Millisecond,
		faults: []fault{{"pause", .5}, {"cut off from ZooKeeper", .2}, {"cut off", .1}, {"trouble in ZooKeeper", .2}}},
	{name: "readers", zkTakes: 2 * time.Millisecond, nodes: [2]int{2, 2}, clients: [2]int{3, 5}, keys: [2]int{1, 1}, length: 6 * time.Second,
		think: 30 * time.Millisecond, patience: 5 * time.Second, reads: .98, pauseAtGate: .006, latePuts: .7, faultEvery: 1200 * time.Millisecond,
		faults: []fault{{"pause", .5}, {"cut off from ZooKeeper", .2}, {"trouble in ZooKeeper", .3}}},
	{name: "cut off", zkTakes: 2 * time.Millisecond, nodes: [2]int{2, 3}, clients: [2]int{4, 6}, keys: [2]int{1, 1}, length: 6 * time.Second,
		think: 30 * time.Millisecond, patience: 8 * time.Second, reads: .8, pauseAtGate: .001, latePuts: .1, faultEvery: 1200 * time.Millisecond,
		faults: []fault{{"cut off", .6}, {"cut off from ZooKeeper", .4}}},
	{name: "moves", zkTakes: 8 * time.Millisecond, zkSlow: .06, nodes: [2]int{2, 4}, clients: [2]int{4, 6}, keys: [2]int{1, 1}, length: 4 * time.Second,
		think: 20 * time.Millisecond, patience: 2 * time.Second, reads: .7, idle: 100 * time.Millisecond,
		pauseAtGate: .0005, latePuts: .05, storeFaults: .02, faultEvery: 350 * time.Millisecond,
		faults: []fault{{"all sessions expired", .1}, {"session expired", .1}, {"drain", .6}, {"cut off from ZooKeeper", .2}}},
	{name: "bad store", zkTakes: 2 * time.Millisecond, nodes: [2]int{2, 3}, clients: [2]int{4, 6}, keys: [2]int{1, 2}, length: 4 * time.Second,
		think: 40 * time.Millisecond, patience: 4 * time.Second, reads: .3,
		latePuts: .3, storeFaults: .35, faultEvery: 600 * time.Millisecond,
		faults: []fault{{"crash", .3}, {"session expired", .3}, {"store down", .3}, {"cut off", .1}}},
	{name: "cuts", zkTakes: 2 * time.Millisecond, nodes: [2]int{3, 4}, clients: [2]int{5, 6}, keys: [2]int{1, 2}, length: 7 * time.Second,
		think: 20 * time.Millisecond, patience: 2 * time.Second, reads: .7, lostPackets: .02, faultEvery: 600 * time.Millisecond,
		faults: []fault{{"one way cut", .8}, {"crash", .2}}},
	{name: "restarts", zkTakes: 2 * time.Millisecond, nodes: [2]int{2, 3}, clients: [2]int{4, 6}, keys: [2]int{1, 1}, length: 5 * time.Second, stateDirs: true,
		think: 20 * time.Millisecond, patience: 2 * time.Second, reads: .7, faultEvery: 700 * time.Millisecond,
		faults: []fault{{"second process", .4}, {"crash", .3}, {"cut off from ZooKeeper", .2}, {"pause", .1}}},
	{name: "crashes", zkTakes: 2 * time.Millisecond, nodes: [2]int{2, 4}, clients: [2]int{4, 6}, keys: [2]int{1, 2}, length: 4 * time.Second,
		think: 30 * time.Millisecond, patience: 3 * time.Second, reads: .3,
		crashAtGate: .001, latePuts: .1, storeFaults: .05, faultEvery: 400 * time.Millisecond,
		faults: []fault{{"crash", .8}, {"one way cut", .2}}},
}
