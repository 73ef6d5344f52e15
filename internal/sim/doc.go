// Package sim is a deterministic simulation of clusters: 2 to 5 nodes of the real host and the real registry on ZooKeeper, over a model of
// ZooKeeper, a model of S3 and a model of the network, in fake time. Nodes crash, pause anywhere, drain, and come back; others join at any time, of an older
// version of the program, as clients only, or with StopOnDisconnect; their clocks drift; requests and answers are lost or late. Updates succeed, fail, and panic, several
// to a put; some change another object, too; objects are deleted, and let go while they are called. Clients give ids to some updates, and call these again through other nodes until they
// know what has come of them. One number, the seed, says all that happens.
//
//	go test ./internal/sim                                                 some hundred seeds, and variants of the program that must fail
//	make sim SEEDS=20000                                                   many seeds, on all processors
//	go test ./internal/sim -run TestSeeds -seed 1234 -seeds 1 -trace       one run, told event by event
//
// # How a run becomes a function of its seed
//
// Fake time stands still while a goroutine of the bubble can go on (testing/synctest). That alone leaves to chance who goes first. So whoever calls a
// model, begins a call, or reads the clock for a lease check parks at a gate ([world], process.pass). The scheduler lets one of them go on, waits until
// nothing moves, and lets the next go on. When each one's turn is depends on the seed and on its name: which process, on whose behalf, for what, for
// the how-manieth time. A clock is given no name, so goroutines carry theirs in their profiler labels (actors.go).
//
// # What is checked
//
// Each operation of the clients is linearizable for its object (porcupine, in the tests); one with an unknown outcome may have happened at any time
// after its call, or never. In the store's log an epoch has one writer, and versions count up by one. What is read with a version was written with that
// version. No activation of an object is answered from after another one was, and none of a session that was disconnected, with StopOnDisconnect. No update is given up by a release that
// has had its time. No node raises an alarm. No update ends as unknown before its deadline, unless its node is on its way out. An update that changes another object has changed that one if it has
// changed its own.
//
// When the troubles are over every object answers a read and an update within a stated time, and then nothing is there that nobody needs: members, claims, containers, watches and
// sessions in ZooKeeper, requests to the store, goroutines. Nor is there when the nodes have left.
//
// # What shows that it would find something
//
// Each step of the protocol is left out, or put into the wrong place, in a patched copy of its file (variants_test.go), and a violation must be found within
// a stated number of seeds. A batch of seeds is invalid, and fails, if in those of some profile too little has happened: of each fault that it draws, of each effect that it is
// there for, of operations that have succeeded (profile.go).
package sim
