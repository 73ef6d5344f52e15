package servers

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
)

// S3Variable names a bucket to test in, as the URL that a store is opened by, in place of a container. Credentials come from where
// the AWS tools look for them.
const S3Variable = "HIGHLANDER_TEST_S3"

// S3 is an S3 server with a bucket to test in.
type S3 struct {
	Endpoint string     // http://host:port
	Server   *Container // nil when it is not ours to stop
	url      *url.URL   // of the bucket, with the endpoint
}

// NamedS3 returns the bucket that the environment names, or nil.
func NamedS3() (*S3, error) {
	named := os.Getenv(S3Variable)
	if named == "" {
		return nil, nil
	}
	u, err := url.Parse(named)
	if err != nil || u.Scheme != "s3" || u.Host == "" || u.Query().Get("endpoint") == "" {
		return nil, fmt.Errorf("%s=%q: give s3://bucket/prefix?endpoint=http://host:port&region=…", S3Variable, named)
	}
	return &S3{Endpoint: u.Query().Get("endpoint"), url: u}, nil
}

// Credentials of the container's bucket, as variables for the environment.
func Credentials() []string {
	return []string{"AWS_ACCESS_KEY_ID=highlander", "AWS_SECRET_ACCESS_KEY=highlander"}
}

// S3 starts a server and returns when it serves.
func (d *Docker) S3(ctx context.Context) (*S3, error) {
	if out, err := exec.CommandContext(ctx, sibling("s3/build")).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("s3/build: %w\n%s", err, out)
	}
	image, err := d.build(ctx, "s3")
	if err != nil {
		return nil, err
	}
	server, err := d.run(ctx, image, "7070")
	if err != nil {
		return nil, err
	}
	s := &S3{Endpoint: "http://" + server.Addr(), Server: server}
	s.url, err = url.Parse("s3://highlander?region=us-east-1&path_style=true&endpoint=" + url.QueryEscape(s.Endpoint))
	if err != nil {
		return nil, err
	}
	return s, s.Await(ctx)
}

// Await waits until the server answers.
func (s *S3) Await(ctx context.Context) error {
	return await(ctx, func() error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint, nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return fmt.Errorf("S3 server does not serve: %w", err)
		}
		return answer.Body.Close()
	})
}

// URL is what opens a store in the bucket below a prefix, by way of an endpoint: the server's, or that of a proxy in front of it.
func (s *S3) URL(prefix, endpoint string) string {
	u := s.url.JoinPath(prefix)
	query := u.Query()
	query.Set("endpoint", endpoint)
	u.RawQuery = query.Encode()
	return u.String()
}
