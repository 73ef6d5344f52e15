// Package servers gives tests real ZooKeeper and S3 servers: containers that it starts, or those that the environment names.
package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	stdlog "log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/uuid"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
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
	provider, err := connect()
	if err == nil {
		err = remove(context.Background(), provider.Client(), label)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "containers of tests are left:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// ErrNoDocker is returned where no Docker engine answers.
var ErrNoDocker = errors.New("no Docker engine answers")

// NewDocker returns [ErrNoDocker] where there is none. Close removes all containers and networks that were made,
// and so does the end of the process without Close.
func NewDocker(ctx context.Context) (*Docker, error) {
	provider, err := connect()
	if err != nil {
		return nil, err
	}
	if err := provider.Health(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrNoDocker, err), provider.Close())
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

// connect returns a client of the Docker engine, which need not be there.
func connect() (provider *testcontainers.DockerProvider, err error) {
	defer func() {
		if missing := recover(); missing != nil { // that is how the library says that it has found none
			err = fmt.Errorf("%w: %v", ErrNoDocker, missing)
		}
	}()
	if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil { // the guard does what Ryuk does, without an image to pull
		return nil, err
	}
	log.SetDefault(stdlog.New(io.Discard, "", 0))
	if provider, err = testcontainers.NewDockerProvider(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDocker, err)
	}
	return provider, nil
}

// Close removes the containers and networks.
func (d *Docker) Close() error {
	d.alive.Close()
	return errors.Join(d.guard.Wait(), d.provider.Close())
}

// build builds the image of a folder beside this one and returns its name. Docker keeps it, so that it is made once.
func (d *Docker) build(ctx context.Context, folder string) (string, error) {
	var log bytes.Buffer
	tag := fmt.Sprintf("%x", crc32.ChecksumIEEE([]byte(sibling(folder)))) // another checkout may make its own meanwhile
	image, err := d.provider.BuildImage(ctx, &testcontainers.ContainerRequest{FromDockerfile: testcontainers.FromDockerfile{
		Context: sibling(folder), Repo: "highlander-" + folder, Tag: tag, KeepImage: true, BuildLogWriter: &log,
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
	return &Container{docker: d.provider.Client(), id: c.GetContainerID(), addr: net.JoinHostPort(loopback.String(), host)}, nil
}

func (d *Docker) labels() map[string]string { return map[string]string{labelKey: d.label} }

// A Container is a server in a container. Its methods can be called while nobody else calls one.
type Container struct {
	docker client.APIClient
	id     string
	addr   string
}

// Addr is the host:port that the server is reached by, also after a restart.
func (c *Container) Addr() string { return c.addr }

// Kill ends the server with SIGKILL. Its data stays.
func (c *Container) Kill(ctx context.Context) error {
	_, err := c.docker.ContainerKill(ctx, c.id, client.ContainerKillOptions{Signal: "KILL"})
	return err
}

// Stop ends the server with SIGTERM. Its data stays.
func (c *Container) Stop(ctx context.Context) error {
	_, err := c.docker.ContainerStop(ctx, c.id, client.ContainerStopOptions{})
	return err
}

// Start starts a server that was stopped or killed. It does not wait until the server serves.
func (c *Container) Start(ctx context.Context) error {
	_, err := c.docker.ContainerStart(ctx, c.id, client.ContainerStartOptions{})
	return err
}

// Pause freezes the server: its connections stay, and nothing answers.
func (c *Container) Pause(ctx context.Context) error {
	_, err := c.docker.ContainerPause(ctx, c.id, client.ContainerPauseOptions{})
	return err
}

// Unpause ends a pause.
func (c *Container) Unpause(ctx context.Context) error {
	_, err := c.docker.ContainerUnpause(ctx, c.id, client.ContainerUnpauseOptions{})
	return err
}

// A State is what a container is at the moment.
type State struct {
	PID  int    // 0: it does not run
	Data string // folder of this machine that its volume is
}

// State asks the engine for it. It may be called concurrently with the other methods.
func (c *Container) State(ctx context.Context) (s State, err error) {
	answer, err := c.docker.ContainerInspect(ctx, c.id, client.ContainerInspectOptions{})
	if err != nil {
		return s, err
	}
	if answer.Container.State.Running {
		s.PID = answer.Container.State.Pid
	}
	for _, m := range answer.Container.Mounts {
		s.Data = m.Source
	}
	return s, nil
}

// remove removes all containers, with their volumes, and networks that have the label.
func remove(ctx context.Context, docker client.APIClient, label string) error {
	labelled := make(client.Filters).Add("label", label)
	containers, failed := docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: labelled})
	for _, c := range containers.Items {
		_, err := docker.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		failed = errors.Join(failed, err)
	}
	networks, err := docker.NetworkList(ctx, client.NetworkListOptions{Filters: labelled})
	failed = errors.Join(failed, err)
	for _, n := range networks.Items {
		_, err := docker.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{})
		failed = errors.Join(failed, err)
	}
	return failed
}

// sibling is the path of a folder beside this package's.
func sibling(folder string) string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", folder)
}
