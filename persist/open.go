package persist

import (
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

const supported = `write "mem:" for memory or "file:DIR" for a folder`

// Open opens the store that url names:
//
//	mem:          a new [Memory]
//	file:DIR      the [Directory] DIR, relative to the working directory or absolute
//	file:///DIR   the same with an absolute path, as a URL
//
// The path is taken as it stands: there are no %xx in it. Any other url is refused.
func Open(url string) (Store, error) {
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
