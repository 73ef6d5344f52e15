package persist

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/highlander-go/highlander/object"
)

// A Store is an [object.Store] that its opener closes after the last call.
type Store interface {
	object.Store
	io.Closer
}

var (
	_ Store = (*Memory)(nil)
	_ Store = (*Directory)(nil)
)

const supported = `write "mem:" for memory, "file:DIR" for a folder or "s3://BUCKET/PREFIX"`

// Open opens the store that url names:
//
//	mem:          a new [Memory]
//	file:DIR      the [Directory] DIR, relative to the working directory or absolute
//	file:///DIR   the same with an absolute path, as a URL
//
//	s3://BUCKET/PREFIX?endpoint=URL&region=REGION&path_style=BOOL
//	              the [S3] BUCKET, which must exist
//
// Paths are taken as they stand: there are no %xx in them. Any other url is refused.
//
// Of an S3 url all but the bucket may be left out. All keys begin with PREFIX and a slash; it has at most 150
// bytes, in segments joined by '/' out of A-Z a-z 0-9 - _ . and =, no dot first, and slashes too many do not count. endpoint is where a server
// other than AWS is, http://HOST:PORT or https://HOST:PORT (a path may follow); it may also come from the
// environment (AWS_ENDPOINT_URL_S3). region comes from the AWS configuration if it is not given, and is us-east-1 at other
// servers; path_style says whether the bucket stands in the path rather than in the host's name (true or false; true at other servers). Credentials come
// from where the AWS SDK looks for them: the environment, AWS's files, the machine's role. They may not stand in the url,
// and an error repeats nothing that may be one. Each request has 5 s.
//
// Open makes no request: run [Check] to see whether the store is there and can be trusted.
func Open(ctx context.Context, url string) (Store, error) {
	scheme, rest, ok := strings.Cut(url, ":")
	switch {
	case !ok || scheme == "":
		return nil, fmt.Errorf("store %q has no scheme; %s", url, supported)
	case scheme == "mem" && rest == "":
		return NewMemory(), nil
	case scheme == "mem":
		return nil, fmt.Errorf("store %q: write \"mem:\" with nothing after it", url)
	case scheme == "file":
		return openFolderURL(url, rest)
	case scheme == "s3":
		return openS3URL(ctx, rest)
	default: // the rest of an unknown url may hold a password
		return nil, fmt.Errorf("store: %s is not supported yet; %s", scheme, supported)
	}
}

func openFolderURL(url, dir string) (Store, error) {
	if after, ok := strings.CutPrefix(dir, "//"); ok {
		if !strings.HasPrefix(after, "/") {
			return nil, fmt.Errorf("store %q names a host; write file:DIR, or file:/// and an absolute path", url)
		}
		dir = after
	}
	if dir == "" {
		return nil, fmt.Errorf("store %q names no folder; write file:DIR", url)
	}
	d, err := OpenDirectory(dir)
	if err != nil {
		return nil, err // and not a nil *Directory in a Store
	}
	return d, nil
}
