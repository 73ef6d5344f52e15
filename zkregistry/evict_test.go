package zkregistry

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/internal/zk/zkmodel"
	"github.com/highlander-go/highlander/object"
)

// A probe answers for members as a test wants.
type probe struct {
	mu    sync.Mutex
	seen  map[string]object.Suspicion // by name
	asked map[string]int
}

func newProbe() *probe {
	return &probe{seen: make(map[string]object.Suspicion), asked: make(map[string]int)}
}

func (p *probe) set(how object.Suspicion, names ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range names {
		p.seen[name] = how
	}
}

func (p *probe) ask(ctx context.Context, m object.Member) error {
	p.mu.Lock()
	how := p.seen[m.Name]
	p.asked[m.Name]++
	p.mu.Unlock()
	switch how {
	case 0:
		return nil
	case object.Silent:
		<-ctx.Done()
		return &object.UnreachableError{Member: m, How: how, Err: ctx.Err()}
	default:
		return &object.UnreachableError{Member: m, How: how, Err: errors.New("connection refused")}
	}
}

// suspectsDealtWith waits until the node evicts nobody, and has nobody to evict.
func (w *world) suspectsDealtWith(n *modelNode) {
	w.t.Helper()
	w.soon("the suspects are dealt with", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return !n.evictor.running
	})
}

// A member that is gone is evicted once its lease is over, long before its session is, and nobody waits for it then.
func TestAMemberThatIsGoneIsEvicted(t *testing.T) {
	for _, how := range []object.Suspicion{object.Gone, object.Silent} {
		inWorld(t, func(t *testing.T, w *world) {
			p := newProbe()
			n := w.node(Options{Probe: p.ask})
			a, b := w.session("a"), n.join("b")
			w.session("c")
			w.claim(a, "k")
			time.Sleep(time.Second) // the list of members is up to date
			w.must(w.Disconnect(a.Member()))
			p.set(how, "a")
			start := w.clock()
			n.Suspect(a.Member(), how)
			w.soon("it is evicted", func() bool { member, live := w.is(a); return !member && !live })
			took, least := w.clock()-start, object.TakeoverWait(DefaultLease)
			if how == object.Silent {
				least = 2*least - probeTimeout
			}
			if most := least + 100*time.Millisecond; took < least || took > most {
				t.Errorf("it took %v, want %v to %v", took, least, most)
			}
			w.noWait(w.claim(b, "k"))
			w.soon("the next eviction can begin", func() bool { return w.children("/todo/evicting") == nil })
		})
	}
}

// Whoever renews in time is not evicted, whatever others see of it.
func TestAMemberThatRenewsIsNotEvicted(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := newProbe()
		n := w.node(Options{Probe: p.ask})
		a := w.session("a")
		n.join("b")
		p.set(object.Gone, "a")
		for range 10 {
			n.Suspect(a.Member(), object.Gone)
			time.Sleep(5 * time.Second)
		}
		if member, live := w.is(a); !member || !live || a.Lease().Err() != nil {
			t.Error("it was evicted")
		}
		if p.asked["a"] < 5 {
			t.Errorf("it was tried %d times", p.asked["a"])
		}
	})
}

// A member that lives at an address where nothing answers does not keep others from being evicted.
func TestAMemberThatLivesIsLeftAloneForAWhile(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := newProbe()
		n := w.node(Options{Probe: p.ask})
		a, dead := w.session("a"), w.session("dead")
		n.join("b")
		time.Sleep(time.Second)
		p.set(object.Gone, "a", "dead")
		suspect := func(m object.Member) {
			n.Suspect(m, object.Gone)
			w.suspectsDealtWith(n)
		}
		suspect(a.Member())
		asked := p.asked["a"]
		w.must(w.Disconnect(dead.Member()))
		suspect(a.Member())
		if p.asked["a"] != asked {
			t.Error("it was suspected again at once")
		}
		suspect(dead.Member())
		if _, live := w.is(dead); live {
			t.Error("the dead one lives on")
		}
		time.Sleep(DefaultSessionTimeout)
		suspect(a.Member())
		if p.asked["a"] == asked {
			t.Error("it is never suspected again")
		}
	})
}

// The version is that of a moment before the wait: a renewal in between makes the eviction void.
func TestAnEvictionIsOfTheVersionThatWasSeen(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := newProbe()
		n := w.node(Options{Probe: p.ask})
		a := w.session("a")
		n.join("b")
		p.set(object.Gone, "a")
		time.Sleep(time.Second)
		w.must(w.Disconnect(a.Member()))
		peek := w.peek()
		n.Suspect(a.Member(), object.Gone)
		time.Sleep(time.Second)
		w.must(peek.Set(t.Context(), "/todo/live/"+pairName(a.Member()), nil, zk.AnyVersion))
		w.suspectsDealtWith(n)
		if member, live := w.is(a); !member || !live {
			t.Error("it was evicted")
		}
	})
}

// When half of the members are silent it is the network.
func TestNobodyIsEvictedWhenHalfAreSilent(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := newProbe()
		n := w.node(Options{Probe: p.ask})
		a := w.session("a")
		for _, name := range []string{"c", "d"} {
			w.session(name)
		}
		n.join("b")
		time.Sleep(time.Second)
		w.must(w.Disconnect(a.Member()))
		p.set(object.Silent, "a", "c")
		n.Suspect(a.Member(), object.Silent)
		w.suspectsDealtWith(n)
		if w.children("/todo/evicting") != nil || p.asked["d"] != 1 || p.asked["b"] != 0 {
			t.Errorf("asked: %v", p.asked)
		}
		if _, live := w.is(a); !live {
			t.Error("it was evicted")
		}
	})
}

// One that answers again after it was silent stays.
func TestAMemberThatAnswersAgainIsNotEvicted(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := newProbe()
		n := w.node(Options{Probe: p.ask})
		a := w.session("a")
		n.join("b")
		w.session("c")
		time.Sleep(time.Second)
		p.set(object.Silent, "a")
		n.Suspect(a.Member(), object.Silent)
		w.soon("an eviction has begun", func() bool { return w.children("/todo/evicting") != nil })
		p.set(0, "a")
		w.soon("it is over", func() bool { return w.children("/todo/evicting") == nil })
		if _, live := w.is(a); !live {
			t.Error("it was evicted")
		}
		if p.asked["a"] != 2 {
			t.Errorf("it was asked %d times", p.asked["a"])
		}
	})
}

func TestOneEvictionAtATime(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := newProbe()
		n, other := w.node(Options{Probe: p.ask}), w.node(Options{Probe: p.ask})
		a := w.session("a")
		n.join("b")
		other.join("c")
		time.Sleep(time.Second)
		peek := w.peek()
		_, err := peek.Create(t.Context(), "/todo/evicting", nil, zk.Ephemeral)
		w.must(err)
		w.must(w.Disconnect(a.Member()))
		p.set(object.Gone, "a")
		n.Suspect(a.Member(), object.Gone)
		other.Suspect(a.Member(), object.Gone)
		time.Sleep(object.TakeoverWait(DefaultLease) + time.Second)
		if _, live := w.is(a); !live {
			t.Error("it was evicted although another eviction is under way")
		}
		w.must(peek.Close(t.Context()))
		w.soon("its turn comes", func() bool { _, live := w.is(a); return !live })
	})
}

// The wait is that of the lease of the member that goes, not of the one that evicts.
func TestAnEvictionWaitsForTheMembersOwnLease(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := newProbe()
		n := w.node(Options{Probe: p.ask, Lease: time.Second})
		a := w.node(Options{Lease: 4 * time.Second}).join("a")
		n.join("b")
		time.Sleep(time.Second)
		w.must(w.Disconnect(a.Member()))
		p.set(object.Gone, "a")
		start := w.clock()
		n.Suspect(a.Member(), object.Gone)
		w.soon("it is evicted", func() bool { _, live := w.is(a); return !live })
		if took := w.clock() - start; took < object.TakeoverWait(4*time.Second) {
			t.Errorf("it took %v", took)
		}
	})
}

// ZooKeeper is out of reach when an eviction ends: others can evict all the same, once it is back.
func TestAnEvictionThatIsOverHoldsUpNobody(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := newProbe()
		n := w.node(Options{Probe: p.ask})
		a := w.session("a")
		b := n.join("b")
		w.session("c")
		time.Sleep(time.Second)
		p.set(object.Silent, "a")
		n.Suspect(a.Member(), object.Silent)
		w.soon("an eviction has begun", func() bool { return w.children("/todo/evicting") != nil })
		time.Sleep(2*object.TakeoverWait(DefaultLease) - time.Second)
		w.must(w.Disconnect(b.Member()))
		p.set(0, "a") // and so it is let off
		time.Sleep(4 * time.Second)
		w.must(w.Reconnect(b.Member()))
		w.soon("the next eviction can begin", func() bool { return w.children("/todo/evicting") == nil })
	})
}

// A reservation whose answer was lost does not stay when it turns out that there is nobody to evict.
func TestAReservationForNothingDoesNotStay(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := newProbe()
		n := w.node(Options{Probe: p.ask})
		a := w.session("a")
		n.join("b")
		time.Sleep(time.Second)
		p.set(object.Gone, "a")
		reserve := func(op string) func(zkmodel.Point) bool {
			return func(p zkmodel.Point) bool { return !p.Answer && p.Op == op && p.Path == "/todo/evicting" }
		}
		made, seen := w.gate.lose(zkmodel.LoseAnswer, reserve("create")), w.gate.lose(zkmodel.LoseRequest, reserve("get"))
		n.Suspect(a.Member(), object.Gone)
		<-made.caught
		<-seen.caught
		w.must(a.Retire(t.Context()))
		w.suspectsDealtWith(n)
		if w.children("/todo/evicting") != nil {
			t.Error("nobody else can evict")
		}
	})
}

// Who was spared once and is gone is not remembered for ever.
func TestWhoWasSparedIsForgotten(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(Options{Probe: newProbe().ask})
		n.Suspect(object.Member{Incarnation: uuid.New()}, object.Gone) // makes the tables
		w.suspectsDealtWith(n)
		for range 100 {
			n.spare(object.Member{Incarnation: uuid.New()})
			time.Sleep(2 * DefaultSessionTimeout)
		}
		if left := len(n.evictor.spared); left > 1 {
			t.Errorf("%d members are remembered", left)
		}
	})
}
