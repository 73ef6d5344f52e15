package servers

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"

	"github.com/moby/moby/api/types/container"
	"github.com/testcontainers/testcontainers-go"
)

// A Program is one of ours in a container, in an ensemble's network.
type Program struct {
	Folder string     // beside this package, with the program's Dockerfile and a build script
	Port   string     // is published
	Addr   netip.Addr // of [ZooKeeper.Guest]
	Args   []string
	Env    map[string]string
	Data   string // folder of this machine that is its folder /data
}

// Run starts the program. When it fails it is started again.
func (d *Docker) Run(ctx context.Context, z *ZooKeeper, p Program) (*Container, error) {
	if out, err := exec.CommandContext(ctx, sibling(p.Folder+"/build")).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s/build: %w\n%s", p.Folder, err, out)
	}
	image, err := d.build(ctx, p.Folder)
	if err != nil {
		return nil, err
	}
	return d.run(ctx, image, p.Port, z.network.at(p.Addr), testcontainers.WithCmd(p.Args...), testcontainers.WithEnv(p.Env),
		testcontainers.WithHostConfigModifier(func(c *container.HostConfig) {
			c.Binds = []string{p.Data + ":/data"}
			c.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyOnFailure}
		}))
}
