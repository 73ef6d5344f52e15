package zkregistry

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// A layout knows where things are under a root.
type layout struct{ root string }

func (l layout) members() string           { return l.root + "/members" }
func (l layout) live() string              { return l.root + "/live" }
func (l layout) objects() string           { return l.root + "/o" }
func (l layout) evicting() string          { return l.root + "/evicting" }
func (l layout) member(pair string) string { return l.root + "/members/" + pair }
func (l layout) liveOf(pair string) string { return l.root + "/live/" + pair }

// Buckets is how many folders the containers of one type are spread over, so that no listing becomes too long for one
// answer of ZooKeeper.
const Buckets = 4096

// container is the path of key's container. It is a part of what nodes of one cluster agree on.
func (l layout) container(key object.Key) string {
	return l.bucket(key) + "/" + escape(key.ID)
}

func (l layout) bucket(key object.Key) string {
	h := fnv.New32a()
	h.Write([]byte(key.ID))
	return fmt.Sprintf("%s/%s/%03x", l.objects(), key.Type, h.Sum32()%Buckets)
}

// escape makes an id the name of a node. ZooKeeper refuses '/', control characters, surrogates and some others in names, and "." and "..".
func escape(id string) string {
	plain := func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_~:@+=,!*'()$&;. ", c) >= 0
	}
	var b strings.Builder
	for i := range len(id) {
		if c := id[i]; plain(c) && (c != '.' || id != "." && id != "..") {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// pairName is the name that a member's two nodes have.
func pairName(m object.Member) string { return m.Incarnation.String() + "." + strconv.Itoa(m.Session) }

func parsePair(name string) (incarnation uuid.UUID, session int, err error) {
	id, n, _ := strings.Cut(name, ".")
	if incarnation, err = uuid.Parse(id); err == nil {
		session, err = strconv.Atoi(n)
	}
	return incarnation, session, err
}

// An attempt tells one attempt of one session to claim something from all others there ever are.
type attempt struct {
	session int64 // of ZooKeeper
	number  uint64
}

// prefix is what the attempt's child begins with; ZooKeeper appends the sequence number.
func (a attempt) prefix() string {
	return strconv.FormatUint(uint64(a.session), 36) + "." + strconv.FormatUint(a.number, 36) + "-"
}

// A contender is a child of a container.
type contender struct {
	name     string
	attempt  attempt
	sequence int32
}

// contenders returns the children in the order of their sequence numbers, which are compared alone: the prefix orders nothing.
// Names that nobody of us has made are left out.
func contenders(names []string) []contender {
	all := make([]contender, 0, len(names))
	for _, name := range names {
		if c, ok := parseContender(name); ok {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b contender) int { return cmp.Compare(a.sequence, b.sequence) })
	return all
}

func parseContender(name string) (contender, bool) {
	prefix, sequence, ok := strings.Cut(name, "-")
	session, number, ok2 := strings.Cut(prefix, ".")
	s, err := strconv.ParseUint(session, 36, 64)
	n, err2 := strconv.ParseUint(number, 36, 64)
	seq, err3 := strconv.ParseInt(sequence, 10, 32)
	return contender{name, attempt{int64(s), n}, int32(seq)}, ok && ok2 && err == nil && err2 == nil && err3 == nil
}
