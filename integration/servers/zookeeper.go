package servers

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/highlander-go/highlander/internal/zk/zkserver"
	"github.com/testcontainers/testcontainers-go"
)

// ZooKeeper is an ensemble of ZooKeeper servers.
type ZooKeeper struct {
	Addrs   []string     // host:port of each
	Servers []*Container // of the same ones; empty when they are not ours to stop
	network *privateNetwork
}

// NamedZooKeeper returns the servers that the environment names, as host:port,host:port in [zkserver.Environment], or nil.
func NamedZooKeeper() *ZooKeeper {
	named := os.Getenv(zkserver.Environment)
	if named == "" {
		return nil
	}
	return &ZooKeeper{Addrs: strings.Split(named, ",")}
}

// ZooKeeper starts an ensemble of n servers and returns when all of them serve.
func (d *Docker) ZooKeeper(ctx context.Context, n int) (*ZooKeeper, error) {
	image, err := d.build(ctx, "zookeeper")
	if err != nil {
		return nil, err
	}
	private, err := d.network(ctx)
	if err != nil {
		return nil, err
	}
	z := &ZooKeeper{Addrs: make([]string, n), Servers: make([]*Container, n), network: private}
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("server.%d=%v:2888:3888;2181", i+1, z.Private(i)))
	}
	for i := range n {
		server, err := d.run(ctx, image, "2181",
			private.at(z.Private(i)),
			testcontainers.WithEnv(map[string]string{"ZOO_MY_ID": fmt.Sprint(i + 1), "ZOO_SERVERS": strings.Join(all, " ")}))
		if err != nil {
			return nil, err
		}
		z.Servers[i], z.Addrs[i] = server, server.Addr()
	}
	return z, z.AwaitAll(ctx)
}

// Gateway is the address of this machine in the network of the servers' containers.
func (z *ZooKeeper) Gateway() netip.Addr { return z.network.addr(1) }

// Private is the address of a server's container in that network.
func (z *ZooKeeper) Private(i int) netip.Addr { return z.network.addr(byte(10 + i)) }

// Guest is the address there of a [Program].
func (z *ZooKeeper) Guest(i int) netip.Addr { return z.network.addr(byte(20 + i)) }

// AwaitAll waits until all servers serve.
func (z *ZooKeeper) AwaitAll(ctx context.Context) error {
	for _, addr := range z.Addrs {
		if err := await(ctx, func() error {
			_, err := Mode(addr)
			return err
		}); err != nil {
			return fmt.Errorf("ZooKeeper server %s does not serve: %w", addr, err)
		}
	}
	return nil
}

// Leader returns the index of the server that leads.
func (z *ZooKeeper) Leader() (int, error) {
	for i, addr := range z.Addrs {
		if mode, _ := Mode(addr); mode == "leader" || mode == "standalone" {
			return i, nil
		}
	}
	return 0, fmt.Errorf("none of the ZooKeeper servers %q leads", z.Addrs)
}

// Mode asks a server what it is: "leader", "follower" or "standalone". A server that does not serve gives an error.
func Mode(addr string) (string, error) {
	answer, err := zkserver.Ask(addr, "srvr")
	if err != nil {
		return "", err
	}
	_, mode, ok := strings.Cut(answer, "\nMode: ")
	if !ok {
		return "", fmt.Errorf("it says %q", answer)
	}
	mode, _, _ = strings.Cut(mode, "\n")
	return mode, nil
}
