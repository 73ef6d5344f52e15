// Package zk is what highlander needs of ZooKeeper, as a small interface: the registry's logic runs over it. Package
// zk/client is the real thing, package zk/zkmodel a model of it for tests and for the simulation; package zk/zktest holds what both
// of them must do.
package zk

import (
	"context"
	"errors"
	"time"
)

// An Ensemble opens sessions.
type Ensemble interface {
	// Open establishes a new session and returns it. It tries until ctx ends. timeout is the session timeout that is asked for;
	// the servers may grant another one, see [Session.Timeout].
	//
	// events is called for each event of the session, one after the other. It must not block and must make no request. An event is delivered
	// before the answer of any request that shows what the event is about.
	Open(ctx context.Context, timeout time.Duration, events func(Event)) (Session, error)
}

// A Session is one ZooKeeper session: it never turns into another one. It moves between servers by itself. Its methods may be called
// concurrently; of two requests, one of which is made after the other has returned or was given up, the servers see the first one first.
//
// A request that is made while the session is disconnected waits for a connection. Definite errors are those below but
// [ErrConnectionLost]. After any other error (the connection was lost under way, ctx has ended) nothing is known: the request may have been
// carried out, may yet be, or never. A read that fails has no effect.
type Session interface {
	// ID identifies the session among all sessions that the ensemble has ever had.
	ID() int64

	// Timeout is the session timeout that was granted.
	Timeout() time.Duration

	// Create makes a node and returns its path, which for [EphemeralSequential] ends in ten digits that count up.
	Create(ctx context.Context, path string, data []byte, mode Mode) (created string, err error)

	// Children lists the names of a node's children, in no order. If watch is set, one [ChildrenChanged] event comes for the next
	// change of the list after this one, or when the session cannot know whether there was one.
	Children(ctx context.Context, path string, watch bool) (names []string, err error)

	// Get returns a node's data and its version, which each Set raises.
	Get(ctx context.Context, path string) (data []byte, version int32, err error)

	// Set writes a node's data if version is the node's, or [AnyVersion].
	Set(ctx context.Context, path string, data []byte, version int32) error

	// Delete deletes a node that has no children, if version is the node's, or [AnyVersion].
	Delete(ctx context.Context, path string, version int32) error

	// Multi carries out all of ops, or none of them: then the error is that of the first one that could not be.
	Multi(ctx context.Context, ops ...Op) error

	// Sync returns when the server that the session is connected to has seen all that was committed before Sync was called.
	Sync(ctx context.Context, path string) error

	// Close closes the session and waits for the servers' word, until ctx ends: its ephemeral nodes are gone then. If they cannot be reached,
	// an error says so, and the session expires by its timeout. Requests fail with [ErrSessionOver] from now on, and there are no more events.
	Close(ctx context.Context) error
}

// A Mode says what kind of node is made.
type Mode int

const (
	Persistent Mode = iota
	Ephemeral
	EphemeralSequential
	Container // is deleted by the servers some time after its last child; not in Multi
)

// AnyVersion matches every version.
const AnyVersion int32 = -1

// An Op is a part of a Multi, made by one of the functions below.
type Op struct {
	Kind    OpKind
	Path    string
	Data    []byte
	Mode    Mode
	Version int32
}

// An OpKind says what an Op does.
type OpKind int

const (
	OpCreate OpKind = iota
	OpDelete
	OpSet
)

func CreateOp(path string, data []byte, mode Mode) Op {
	return Op{Kind: OpCreate, Path: path, Data: data, Mode: mode}
}

func DeleteOp(path string, version int32) Op { return Op{Kind: OpDelete, Path: path, Version: version} }

func SetOp(path string, data []byte, version int32) Op {
	return Op{Kind: OpSet, Path: path, Data: data, Version: version}
}

// An Event is something that a session is told without having asked.
type Event struct {
	Type EventType
	Path string // of ChildrenChanged
}

// An EventType is a kind of event.
type EventType int

const (
	// Connected: the session has a connection, the first one or another one. What was watched before may have changed unseen.
	Connected EventType = iota

	// Disconnected: the connection was lost. The session looks for another one, and may expire meanwhile.
	Disconnected

	// Expired: the servers say that the session is over. It is the last event.
	Expired

	// ChildrenChanged: the list of a watched node's children has changed, or the node is gone.
	ChildrenChanged
)

func (t EventType) String() string {
	return [...]string{"connected", "disconnected", "expired", "children changed"}[t]
}

// What a session is sure of.
var (
	ErrNoNode      = errors.New("zookeeper: no such node")
	ErrNodeExists  = errors.New("zookeeper: node exists")
	ErrBadVersion  = errors.New("zookeeper: node has another version")
	ErrNotEmpty    = errors.New("zookeeper: node has children")
	ErrSessionOver = errors.New("zookeeper: the session is over") // closed or expired; this request was not carried out, or is among what ended with it

	// ErrConnectionLost: the connection was lost before the answer came. Nothing is known.
	ErrConnectionLost = errors.New("zookeeper: connection lost")
)
