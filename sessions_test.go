package highlander

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/highlander-go/highlander/internal/parts"
	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
)

func TestANodeOpensMoreSessionsWhenTheyAreFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memregistry.New(memregistry.Options{MaxClaims: 10})
		defer r.Close()
		a, err := Open(parts.With(t.Context(), parts.Parts{Registry: r}), Config{}, tallies)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		bumpTo := func(i, want int) object.Member {
			t.Helper()
			if n, err := bump.Call(t.Context(), tallies.On(a).Ref(fmt.Sprint(i)), 1); n != want || err != nil {
				t.Fatal(n, err)
			}
			m, _, err := r.Owner(t.Context(), object.Key{Type: "tally", ID: fmt.Sprint(i)})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		sessions := make(map[int]int)
		var lost object.Member
		for i := range 45 {
			m := bumpTo(i, 1)
			if sessions[m.Session]++; i == 0 {
				lost = m
			}
		}
		if len(sessions) != 5 || sessions[1] != 10 {
			t.Errorf("objects by session: %v", sessions)
		}
		r.ExpireSession(lost)
		for i := range 45 {
			if m := bumpTo(i, 2); i == 44 && m.Session != 5 {
				t.Errorf("what another session held moved to session %d", m.Session)
			}
		}
		if err := a.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if members, err := r.Members(t.Context()); len(members) != 0 || err != nil {
			t.Errorf("after the drain %v are members, %v", members, err)
		}
	})
}

func TestListeningSaysWhatToChange(t *testing.T) {
	for name, x := range map[string]struct {
		config Config
		want   string
	}{
		"an open address":               {Config{Listen: "0.0.0.0:0"}, "AllowPlaintext"},
		"an address that is none":       {Config{Listen: "nowhere"}, "Config.Listen"},
		"an address for all interfaces": {Config{Listen: "0.0.0.0:0", AllowPlaintext: true}, "Config.Advertise"},
		"nothing to advertise":          {Config{Advertise: "a:1"}, "Config.Listen"},
		"no port to advertise":          {Config{Listen: "127.0.0.1:0", Advertise: "a"}, "host:port"},
		"a client that serves":          {Config{ClientOnly: true, Serve: []string{"tally"}}, "Config.Serve"},
		"a type that it does not have":  {Config{Serve: []string{"list"}}, `"list"`},
		"a long name":                   {Config{Cluster: strings.Repeat("x", 256)}, "Config.Cluster"},
		"an unknown placement":          {Config{Placement: 7}, "Config.Placement"},
	} {
		n, err := Open(t.Context(), x.config, tallies)
		if err == nil {
			n.Close()
		}
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v; want it to say %q", name, err, x.want)
		}
	}
	n, err := Open(t.Context(), Config{Listen: "0.0.0.0:0", AllowPlaintext: true, Advertise: "here.example:7400"}, tallies)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if n.me.Address != "here.example:7400" {
		t.Errorf("it advertises %q", n.me.Address)
	}
}
