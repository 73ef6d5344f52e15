package integration

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/highlander-go/highlander/integration/faults"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
)

// A putAudit is told every PUT that an S3 server was sent, and finds what no call alone can show. It is not to be used concurrently.
type putAudit struct {
	chains map[object.Key][]link
	puts   int // of records, answered or not
	taken  int // of these, the ones that have surely taken effect
}

// A link is a PUT of a record that has taken effect, or may have.
type link struct {
	epoch, version, generation uint64
	incarnation                [16]byte
	tag, match                 string // match is "" where no record was to be there
	sure                       bool
}

func (l link) String() string {
	match := "If-None-Match: *"
	if l.match != "" {
		match = "If-Match: " + l.match
	}
	return fmt.Sprintf("version %d of epoch %d by %x, %s, made %s", l.version, l.epoch, l.incarnation[:4], match, l.tag)
}

// take takes what a proxy has seen of the PUTs below a bucket's prefix. Those of something else than records are none of its business.
func (a *putAudit) take(prefix string, puts []faults.Put) error {
	if a.chains == nil {
		a.chains = make(map[object.Key][]link)
	}
	for _, p := range puts {
		name, ok := strings.CutPrefix(p.Path, prefix+"/")
		if !ok || !strings.HasPrefix(name, "o/") {
			continue
		}
		key, err := persist.ParseBlobName(name)
		if err != nil {
			return err
		}
		a.puts++
		if p.Status != 0 && p.Status != http.StatusOK {
			continue
		}
		r, generation, err := persist.DecodeRecord(key, p.Body)
		if err != nil {
			return err
		}
		match := p.Header.Get("If-Match")
		if match == "" && p.Header.Get("If-None-Match") != "*" {
			return fmt.Errorf("%v: version %d was put without a condition", key, r.Version)
		}
		l := link{r.Epoch, r.Version, generation, r.Incarnation, tagOf(p.Tag), tagOf(match), p.Status != 0}
		if l.sure {
			a.taken++
		}
		a.chains[key] = append(a.chains[key], l)
	}
	return nil
}

func tagOf(header string) string { return strings.Trim(header, `"`) }

// violations follows the records of each object. Versions count up by one, each is put on the one before it, epochs have one writer and count up by one,
// and generations never fall. A PUT without an answer counts where something was put on it.
func (a *putAudit) violations() (found []string) {
	for key, chain := range a.chains {
		slices.SortStableFunc(chain, func(a, b link) int {
			if a.version == b.version && a.sure != b.sure { // of the same version: the sure ones first
				if a.sure {
					return -1
				}
				return 1
			}
			return cmp.Compare(a.version, b.version)
		})
		var last link
		for _, l := range chain {
			epoch := last.epoch
			if l.incarnation != last.incarnation {
				epoch++
			}
			switch {
			case !l.sure && (l.version != last.version+1 || l.match != last.tag):
				continue // has not taken effect, or its next attempt has
			case l.version != last.version+1, l.epoch != epoch, l.generation < last.generation, last.tag != "" && l.match != last.tag, last.version == 0 && l.match != "":
				found = append(found, fmt.Sprintf("%v: %v follows %v", key, l, last))
			}
			last = l
		}
	}
	return found
}
