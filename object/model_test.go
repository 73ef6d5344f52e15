package object

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A model is one object, two nodes, up to three calls, and what may happen to them. Several small models are explored instead of one with
// everything in it. In all of them sessions end at any time, renewals, puts and their answers come late or never, and nodes give up.
type model struct {
	calls   [3]callKind
	nodes   int                // 2, or 3: a joins again when it has lost its session
	leases  [maxSessions]uint8 // in ticks, 2 at most
	variant variant

	releases  bool    // objects are let go, in the middle of a write too
	joins     bool    // nodes join at any time; else both have joined in the beginning
	burials   nodeSet // the nodes that remove lost members
	evictions bool    // each node may take the other for dead
	proof     bool    // a is killed, and b is started in its place
	inTurn    bool    // the caller of requests makes one after the other
	givesUp   bool    // callers of requests ask no more at some time
}

func (m model) with(changes ...func(*model)) model {
	for _, change := range changes {
		change(&m)
	}
	return m
}

func (m model) calling(calls ...callKind) model {
	m.calls = [3]callKind{}
	copy(m.calls[:], calls)
	return m
}

var (
	coreModel     = model{calls: [3]callKind{anUpdate, aRead}, nodes: 2, leases: [3]uint8{1, 1, 1}}
	presenceModel = coreModel.with(func(m *model) { m.joins, m.burials = true, 1<<1 })
	evictionModel = coreModel.with(func(m *model) { m.evictions = true })
	restartModel  = coreModel.with(func(m *model) { m.proof = true })
	onceModel     = coreModel.calling(aRequest)
)

func (s *search) start() modelState {
	var g modelState
	for x := range 2 {
		if !s.joins {
			g.member, g.live, g.open = g.member.with(x), g.live.with(x), g.open.with(x)
			g.nodes[x].phase, g.nodes[x].lease = mJoined, s.leases[x]
		}
	}
	return g
}

// steps calls to with all that can come next.
func (s *search) steps(g *modelState) {
	if s.settled(g) {
		return
	}
	s.pass(g)
	s.lateWrites(g)
	for c, kind := range s.calls {
		if kind.isOnce() {
			s.asks(g, c)
		}
	}
	for x := range s.nodes {
		s.session(g, x)
		s.claiming(g, x)
		s.writesOf(g, x)
		if s.releases {
			s.releasing(g, x)
		}
		if s.burials.has(x) {
			s.attend(g, x)
		}
		if s.evictions {
			s.evict(g, x)
		}
		if s.proof {
			s.restart(g, x)
		}
		for c, kind := range s.calls {
			switch kind {
			case aRequest, aFickle:
				s.arrives(g, c, x, false)
				s.arrives(g, c, x, true)
			case anUpdate, anInsert:
				s.runs(g, c, x)
			case aRead:
				s.reads(g, c, x)
			}
		}
	}
}

// settled tells whether nothing can be violated any more: all calls have come to an end, and no put can take effect.
func (s *search) settled(g *modelState) bool {
	for c, kind := range s.calls {
		if kind != noCall && g.calls[c].phase < callAnswered || kind.isOnce() && s.outstanding(g, c) {
			return false
		}
	}
	for x := range s.nodes {
		if w := g.nodes[x].writes; g.nodes[x].ran != 0 || w != noPut && w != putDurable {
			return false
		}
	}
	return g.late == [4]blob{}
}

// canonical gives states that differ in nothing that matters one form. It tells whether the two reads have changed places.
func (s *search) canonical(g *modelState) (swapped bool) {
	if g.late[1] != 0 {
		slices.Sort(g.late[:])
	}
	for x := range s.nodes {
		n := &g.nodes[x]
		if n.renewal&carriedOut == 0 && !g.live.has(x) {
			n.renewal = 0 // it is refused
		}
		if n.renewal&^carriedOut == 1 && s.variant != countedFromAcknowledgement {
			n.renewal = 0 // it is too old to make the lease valid
		}
		if n.evicts != 0 && !g.live.has(s.suspect(x)) {
			n.evicts = 0
		}
		for y := range s.nodes {
			if !g.member.has(y) && !(n.phase == mWaiting && n.saw.has(y)) {
				n.setLost(y, -1) // nobody asks for it again
			}
		}
	}
	if s.variant != constantWriteID {
		g.rename()
	}
	return s.sortReads(g)
}

// rename gives write ids names in the order of where they are: they can only be compared.
func (g *modelState) rename() {
	var names [8]uint8
	last := uint8(0)
	name := func(b *blob) {
		if *b == 0 {
			return
		}
		if names[b.id()] == 0 {
			last++
			names[b.id()] = last
		}
		*b = b.named(names[b.id()])
	}
	name(&g.store)
	for x := range g.nodes {
		n := &g.nodes[x]
		name(&n.known)
		name(&n.put)
		name(&n.found)
	}
}

// sortReads swaps the last two calls if they are reads and stand in the wrong order: they are alike.
func (s *search) sortReads(g *modelState) (swap bool) {
	if s.calls[1] != aRead || s.calls[2] != aRead {
		return false
	}
	swapped := [3]modelCall{g.calls[0], g.calls[2], g.calls[1]}
	for c := range swapped {
		a := &swapped[c].after
		*a = *a&1 | *a>>1&2 | *a<<1&4
	}
	if p, q := g.calls[1], swapped[1]; q.order() < p.order() {
		g.calls = swapped
		return true
	}
	return false
}

func (c modelCall) order() uint32 {
	return uint32(c.phase)<<24 | uint32(c.value)<<16 | uint32(c.at)<<8 | uint32(c.after)
}

// models are explored by go test; those that are long by make model alone. states is how many each is known to have: one that has fewer
// has lost some, and one that has more is new.
var models = []struct {
	name   string
	model  model
	states int
	long   bool
}{
	{"one update, two reads", coreModel.calling(anUpdate, aRead, aRead).with(withReleases, unevenLeases), 2_999_813, false},
	{"an update, one that fails, a read", coreModel.calling(anUpdate, anInsert, aRead).with(unevenLeases), 494_094, false},
	{"two updates", coreModel.calling(anUpdate, anUpdate).with(withReleases), 677_782, false},
	{"a joins again", coreModel.with(joiningAgain, unevenLeases), 743_661, false},
	{"who is there", presenceModel, 394_634, false},
	{"eviction", evictionModel.with(unevenLeases), 612_294, false},
	{"restart proof", restartModel.calling(anUpdate, aRead, aRead).with(unevenLeases), 248_652, false},

	{"one request", onceModel.calling(aFickle).with(withReleases), 1_417_682, false},
	{"one request, one read", onceModel.calling(aFickle, aRead), 631_064, false},
	{"two requests in turn", onceModel.calling(aRequest, aRequest).with(inTurn), 371_283, false},

	{"two updates, one read", coreModel.calling(anUpdate, anUpdate, aRead).with(withReleases, unevenLeases), 15_853_633, true},
	{"two updates, one read, a joins again", coreModel.calling(anUpdate, anUpdate, aRead).with(joiningAgain), 8_957_837, true},
	{"one update, two reads, a joins again", coreModel.calling(anUpdate, aRead, aRead).with(withReleases, joiningAgain), 19_045_298, true},
	{"three updates", coreModel.calling(anUpdate, anUpdate, anUpdate).with(withReleases), 18_731_350, true},
	{"who is there, longer", presenceModel.with(withReleases, unevenLeases, bothBury), 43_261_529, true},
	{"eviction, two updates", evictionModel.calling(anUpdate, anUpdate).with(unevenLeases), 1_630_355, true},
	{"eviction, two reads, releases", evictionModel.calling(anUpdate, aRead, aRead).with(withReleases), 10_267_012, true},
	{"restart proof, two updates", restartModel.calling(anUpdate, anUpdate, aRead).with(withReleases, unevenLeases), 16_395_612, true},
	{"one request, one update", onceModel.calling(aFickle, anUpdate), 2_517_067, true},
	{"one request, a joins again", onceModel.calling(aFickle).with(joiningAgain), 2_057_965, true},
	{"two requests", onceModel.calling(aRequest, aRequest), 9_232_698, true},
	{"two requests in turn, given up", onceModel.calling(aRequest, aRequest).with(inTurn, givingUp), 4_064_350, true},
	{"two requests in turn, one read", onceModel.calling(aRequest, aRequest, aRead).with(inTurn), 3_770_031, true},
	{"two requests in turn that may fail", onceModel.calling(aFickle, aFickle).with(inTurn), 1_924_700, true},
	{"three requests in turn", onceModel.calling(aRequest, aRequest, aRequest).with(inTurn), 2_036_569, true},
}

func withReleases(m *model) { m.releases = true }
func unevenLeases(m *model) { m.leases[0], m.leases[2] = 2, 2 }
func joiningAgain(m *model) { m.nodes = 3 }
func inTurn(m *model)       { m.inTurn = true }
func givingUp(m *model)     { m.givesUp = true }
func bothBury(m *model)     { m.burials = 1<<0 | 1<<1 }

// The rules, unbroken, let nothing wrong happen in any state that the models can reach.
func TestModelsAreExploredCompletely(t *testing.T) {
	SkipRaced(t)
	var mu sync.Mutex
	heard := make(map[string]bool)
	missing := 0
	for _, m := range models {
		if !m.long {
			missing++
		}
	}
	t.Run("models", func(t *testing.T) {
		for _, m := range models {
			t.Run(m.name, func(t *testing.T) {
				if m.long && os.Getenv("HIGHLANDER_MODEL") == "" {
					t.Skip("make model explores it")
				}
				t.Parallel()
				s := &search{model: &m.model, limit: 60_000_000, heard: make(map[string]bool)}
				start := time.Now()
				story, err := s.explore()
				t.Logf("%s: %d states, %d kinds of steps, %v", m.name, s.count(), len(s.heard), time.Since(start).Round(time.Millisecond))
				if err != nil || story != "" {
					t.Fatal(err, "\n"+story)
				}
				if s.count() < m.states {
					t.Errorf("%d states, of %d that are known", s.count(), m.states)
				}
				mu.Lock()
				defer mu.Unlock()
				if !m.long {
					missing--
				}
				for text := range s.heard {
					heard[text] = true
				}
			})
		}
	})
	if missing > 0 {
		return // -run has left some out
	}
	for _, text := range []string{"for another reason", "is its own", "adopts it", "will look again", "begins anew", "is void", "middle of a write", "late put",
		"which knows what came of it", "and knows what came of it", "which refuses it", "and fails", "later attempts are lost", "does not evict", "evicts", "must be dead", "removes the lost member", "finds a member", "lists the container: %n owns"} {
		found := false
		for h := range heard {
			found = found || strings.Contains(h, text)
		}
		if !found {
			t.Errorf("no model has a step with %q", text)
		}
	}
}

// Each variant is found, or what finds nothing in the rules could find nothing at all. With -v its story is told.
func TestModelFindsBrokenVariants(t *testing.T) {
	SkipRaced(t)
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			m := v.model
			m.variant = v.variant
			s := &search{model: &m, limit: 3_000_000}
			story, err := s.explore()
			if err != nil || story == "" {
				t.Fatalf("not found in %d states: %v", s.count(), err)
			}
			t.Logf("found after %d states\n%s", s.count(), story)
		})
	}
}

// The stories are for people to read: here are three.
func TestModelTellsStories(t *testing.T) {
	for _, v := range variants {
		if v.variant != conditionIsFailure && v.variant != acceptedUnchecked && v.variant != failureUnrecorded {
			continue
		}
		m := v.model
		m.variant = v.variant
		s := &search{model: &m, limit: 3_000_000}
		story, err := s.explore()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", "model", strings.ReplaceAll(v.name, " ", "-")+".txt")
		want, err := os.ReadFile(file)
		if err != nil || story != string(want) {
			t.Errorf("%s tells another story: %v\n%s", file, err, story)
		}
	}
}

// SkipRaced skips a long test with next to nothing at the same time. make test runs those without the race detector, too.
func SkipRaced(t *testing.T) {
	if RaceDetector {
		t.Skip("it would take minutes, and has next to nothing at the same time: once without the race detector is enough")
	}
}
