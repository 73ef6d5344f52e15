// Package servers gives tests real ZooKeeper and S3 servers: containers that it starts, or those that the environment names.
package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
)

// A Docker is the containers of one test process.
type Docker struct {
	provider *testcontainers.DockerProvider
	label    string // of all that is made: key=value
	guard    *exec.Cmd
	alive    io.Closer // the guard does its work when this is closed, by us or by our end
}

const labelKey = "highlander.test"

// guardVariable names the label of what to remove, in the environment of a guard.
const guardVariable = "HIGHLANDER_TEST_GUARD"

// startTimeout bounds what a container needs from its start until it serves. It is long because the machine may be busy.
const startTimeout = 2 * time.Minute

// Guard is to be called first in TestMain. In a test process it does nothing. In the guard of one (the same program, started by
// [NewDocker]) it waits until the test process has ended, in whatever way, removes its containers and exits.
func Guard() {
	label := os.Getenv(guardVariable)
	if label == "" {
		return
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := remove(label); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// NewDocker returns an error when there is no Docker engine that answers. Close removes all containers and networks that were made,
// and so does the end of the process without Close.
func NewDocker(ctx context.Context) (*Docker, error) {
	if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil { // the guard does what Ryuk does, without an image to pull
		return nil, err
	}
	log.SetDefault(stdlog.New(io.Discard, "", 0))
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	if err := provider.Health(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("docker: %w", err), provider.Close())
	}
	d := &Docker{provider: provider, label: uuid.NewString()}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	d.guard = exec.Command(self)
	d.guard.Env = append(os.Environ(), guardVariable+"="+labelKey+"="+d.label)
	d.guard.Stderr = os.Stderr
	ownGroup(d.guard) // what interrupts the tests must not interrupt the guard
	if d.alive, err = d.guard.StdinPipe(); err != nil {
		return nil, err
	}
	if err := d.guard.Start(); err != nil {
		return nil, fmt.Errorf("guard of the containers: %w", err)
	}
	return d, nil
}

// Close removes the containers and networks.
func (d *Docker) Close() error {
	d.alive.Close()
	return errors.Join(d.guard.Wait(), d.provider.Close())
}

// build builds the image of a folder beside this one and returns its name. Docker keeps it, so that it is made once.
func (d *Docker) build(ctx context.Context, folder string) (string, error) {
	var log bytes.Buffer
	image, err := d.provider.BuildImage(ctx, &testcontainers.ContainerRequest{FromDockerfile: testcontainers.FromDockerfile{
		Context: sibling(folder), Repo: "highlander-" + folder, Tag: "latest", KeepImage: true, BuildLogWriter: &log,
	}})
	if err != nil {
		return "", fmt.Errorf("build image %s: %w\n%s", folder, err, log.Bytes())
	}
	return image, nil
}

// run starts a container whose given port is published on a loopback port that stays the same when the container is restarted.
func (d *Docker) run(ctx context.Context, image, port string, options ...testcontainers.ContainerCustomizer) (*Container, error) {
	host, err := freePort()
	if err != nil {
		return nil, err
	}
	published := network.MustParsePort(port + "/tcp")
	c, err := testcontainers.Run(ctx, image, append([]testcontainers.ContainerCustomizer{
		testcontainers.WithLabels(d.labels()),
		testcontainers.WithExposedPorts(published.String()),
		testcontainers.WithHostConfigModifier(func(c *container.HostConfig) {
			c.PortBindings = network.PortMap{published: {{HostIP: loopback, HostPort: host}}}
		}),
	}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("container of %s: %w", image, err)
	}
	return &Container{container: c, addr: loopback.String() + ":" + host}, nil
}

func (d *Docker) labels() map[string]string { return map[string]string{labelKey: d.label} }

// A Container is a server in a container. Its methods can be called while nobody else calls one.
type Container struct {
	container *testcontainers.DockerContainer
	addr      string
}

// Addr is the host:port that the server is reached by, also after a restart.
func (c *Container) Addr() string { return c.addr }

// Kill ends the server with SIGKILL. Its data stays.
func (c *Container) Kill() error { return docker("kill", c.container.GetContainerID()) }

// Stop ends the server with SIGTERM. Its data stays.
func (c *Container) Stop() error { return docker("stop", "--time", "10", c.container.GetContainerID()) }

// Start starts a server that was stopped or killed. It does not wait until the server serves.
func (c *Container) Start() error { return docker("start", c.container.GetContainerID()) }

// Pause freezes the server: its connections stay, and nothing answers.
func (c *Container) Pause() error { return docker("pause", c.container.GetContainerID()) }

// Unpause ends a pause.
func (c *Container) Unpause() error { return docker("unpause", c.container.GetContainerID()) }

// remove removes all containers, with their volumes, and networks that have the label.
func remove(label string) error {
	var failed error
	for _, kind := range []struct{ list, remove []string }{
		{[]string{"ps", "--all"}, []string{"rm", "--force", "--volumes"}},
		{[]string{"network", "ls"}, []string{"network", "rm"}},
	} {
		out, err := exec.Command("docker", append(kind.list, "--quiet", "--filter", "label="+label)...).Output()
		failed = errors.Join(failed, err)
		if ids := strings.Fields(string(out)); len(ids) > 0 {
			failed = errors.Join(failed, docker(append(kind.remove, ids...)...))
		}
	}
	return failed
}

// docker runs a command of Docker's.
func docker(args ...string) error {
	if out, err := exec.Command("docker", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// sibling is the path of a folder beside this package's.
func sibling(folder string) string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", folder)
}
