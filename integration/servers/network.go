package servers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	testnetwork "github.com/testcontainers/testcontainers-go/network"
)

// A privateNetwork is one in which containers have addresses of their own for ever. Names would go with their containers, and a ZooKeeper server that looks for the name of
// one that was killed, where DNS does not answer, elects nobody meanwhile.
type privateNetwork struct {
	*testcontainers.DockerNetwork
	base [3]byte // of addresses: a /24
}

// network makes one, somewhere in 10.0.0.0/8 where there is none yet.
func (d *Docker) network(ctx context.Context) (*privateNetwork, error) {
	var failed error
	for range 20 {
		n := &privateNetwork{base: [3]byte{10, byte(100 + rand.N(100)), byte(rand.N(256))}}
		var err error
		n.DockerNetwork, err = testnetwork.New(ctx, testnetwork.WithLabels(d.labels()), testnetwork.WithIPAM(&network.IPAM{Config: []network.IPAMConfig{
			{Subnet: netip.PrefixFrom(n.addr(0), 24), Gateway: n.addr(1)}}}))
		if err == nil {
			return n, nil
		}
		failed = errors.Join(failed, err)
		if !strings.Contains(err.Error(), "overlaps") {
			break
		}
	}
	return nil, fmt.Errorf("network of ZooKeeper: %w", failed)
}

func (n *privateNetwork) addr(i byte) netip.Addr {
	return netip.AddrFrom4([4]byte{n.base[0], n.base[1], n.base[2], i})
}

// at puts a container into the network, at an address.
func (n *privateNetwork) at(addr netip.Addr) testcontainers.CustomizeRequestOption {
	return func(r *testcontainers.GenericContainerRequest) error {
		return errors.Join(testnetwork.WithNetwork(nil, n.DockerNetwork).Customize(r),
			testcontainers.WithEndpointSettingsModifier(func(settings map[string]*network.EndpointSettings) {
				settings[n.Name].IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: addr}
			}).Customize(r))
	}
}
