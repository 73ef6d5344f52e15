// Package zkregistry is an [object.Registry] on ZooKeeper: sessions, membership, leases and claims.
//
// # What is in ZooKeeper
//
// Under the root that all nodes of a cluster share:
//
//	/                                      data: the cluster's identity
//	members/<incarnation>.<session>        persistent: who it is, where it is, how long its leases are
//	live/<incarnation>.<session>           ephemeral: that it lives; each renewal of its lease writes it
//	o/<type>/<bucket>/<id>                 container of the claims of one object
//	o/<type>/<bucket>/<id>/<attempt>-<seq> ephemeral, sequential: a claim; data: the pair that made it
//	evicting                               ephemeral: somebody is about to evict a member
//
// The two nodes of one name in members and live are a pair. They are made together and removed together by who leaves; a
// member without its live twin was lost. Of the claims of an object whose pair is live, the lowest
// sequence owns it. A claim whose pair is not live is void: a pair is made before its claims, and gone is final for a pair.
//
// # Starting to read
//
// claim.go is how an object is claimed and given up, session.go the lease and the way in and out, connection.go how it is known
// who is there, lost.go what becomes of members that were lost, evict.go how that is made to go faster,
// proof.go how a process that was killed and started again need not wait for itself. paths.go and member.go are
// what stands in ZooKeeper.
package zkregistry
