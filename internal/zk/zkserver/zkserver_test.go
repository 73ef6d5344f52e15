package zkserver

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	gozk "github.com/go-zookeeper/zk"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPasswordIsThatOfJavaUtilRandom(t *testing.T) {
	for id, want := range map[int64]string{
		0x100058b2f4a0003: "91ef1f73c153f2832d8b775e3f10f62c",
		1:                 "054cc74a37327db215e702e20c73f005",
		0x3ffffffffffffff: "20f62cb5648dc2d771471c8a2486a9ee",
		-5:                "d47144b5e45e45c49c3b7fdcd66257ba",
	} {
		if got := hex.EncodeToString(password(id)); got != want {
			t.Errorf("password(%#x) = %s, java says %s", id, got, want)
		}
	}
}

// connect opens a session as the library does by itself.
func connect(t *testing.T, addrs []string) *gozk.Conn {
	t.Helper()
	conn, events, err := gozk.Connect(addrs, 30*time.Second, gozk.WithLogInfo(false), gozk.WithLogger(quiet{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		for range events { // until the library has ended
		}
	})
	for timeout := time.After(startTimeout); conn.State() != gozk.StateHasSession; {
		select {
		case <-events:
		case <-timeout:
			t.Fatal("no session")
		}
	}
	return conn
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

func TestEndSession(t *testing.T) {
	ensemble := Start(t, 1)
	addr := ensemble.Servers[0].Addr()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	witness, conn := connect(t, ensemble.Addrs()), connect(t, ensemble.Addrs())
	id := conn.SessionID()
	if _, err := conn.Create("/e", nil, gozk.FlagEphemeral, gozk.WorldACL(gozk.PermAll)); err != nil {
		t.Fatal(err)
	}
	if err := EndSession(ctx, addr, id); err != nil {
		t.Fatalf("of a connected session: %v", err)
	}
	for {
		there, _, err := witness.Exists("/e")
		if err != nil {
			t.Fatal(err)
		}
		if !there {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the session's node is still there")
		}
	}
	if err := EndSession(ctx, addr, id); !errors.Is(err, ErrNoSession) {
		t.Errorf("of a session that has ended: %v", err)
	}
}

func TestServerKeepsItsDataAndItsPort(t *testing.T) {
	ensemble := Start(t, 1)
	server := ensemble.Servers[0]
	conn := connect(t, ensemble.Addrs())
	if _, err := conn.Create("/kept", nil, 0, gozk.WorldACL(gozk.PermAll)); err != nil {
		t.Fatal(err)
	}
	if answer, err := Ask(server.Addr(), "ruok"); err != nil || answer != "imok" {
		t.Errorf("ruok: %q, %v", answer, err)
	}
	for _, end := range []func(){server.Kill, server.Stop} {
		end()
		if mode := server.Mode(); mode != "" {
			t.Errorf("a server that has ended is %s", mode)
		}
		server.Restart(t)
		again := connect(t, ensemble.Addrs())
		if there, _, err := again.Exists("/kept"); err != nil || !there {
			t.Errorf("after a restart: %v, %v", there, err)
		}
	}
	server.Pause(t)
	if answer, err := Ask(server.Addr(), "ruok"); err == nil {
		t.Errorf("a paused server answers %q", answer)
	}
	server.Resume(t)
	server.Await(t)
}

func TestEnsembleHasOneLeader(t *testing.T) {
	ensemble := Start(t, 3)
	var modes []string
	for _, s := range ensemble.Servers {
		modes = append(modes, s.Mode())
	}
	if all := strings.Join(modes, " "); strings.Count(all, "leader") != 1 || strings.Count(all, "follower") != 2 {
		t.Errorf("the servers are %s", all)
	}
	leader := ensemble.Leader()
	if leader == nil || ensemble.Follower() == nil {
		t.Fatal("no leader or no follower")
	}
	leader.Kill()
	for end := time.Now().Add(startTimeout); ensemble.Leader() == nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no other leader")
		}
	}
}
