package zkregistry

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// A Location is what a registry's URL says.
type Location struct {
	Servers        []string // host:port each
	Root           string
	SessionTimeout time.Duration // 0: not said
}

// Parse reads a URL of the form
//
//	zk://host:port,host:port/root?session_timeout=6s
//
// A host without a port has port 2181. The root is a path of one or more names; it is required, since clusters must not meet in one.
func Parse(rawURL string) (Location, error) {
	var l Location
	wrong := func(format string, args ...any) (Location, error) {
		return Location{}, fmt.Errorf("registry %q: %s: write zk://host:port,host:port/root?session_timeout=6s", rawURL, fmt.Sprintf(format, args...))
	}
	rest, ok := strings.CutPrefix(rawURL, "zk://")
	if !ok {
		return wrong("it does not begin with zk://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, root, _ := strings.Cut(rest, "/")
	if strings.Contains(hosts, "@") {
		return Location{}, fmt.Errorf("registry: a zk URL takes no user and no password")
	}
	for host := range strings.SplitSeq(hosts, ",") {
		u, err := url.Parse("zk://" + host)
		switch {
		case err != nil || host == "" || u.Hostname() == "" || u.Host != host:
			return wrong("%q is no server", host)
		case u.Port() == "":
			host = u.Host + ":2181"
		}
		l.Servers = append(l.Servers, host)
	}
	if root == "" || strings.HasSuffix(root, "/") || strings.Contains(root, "//") || strings.HasPrefix(root, "/") {
		return wrong("it names no root, under which all of this cluster is")
	}
	for part := range strings.SplitSeq(root, "/") {
		if part == "." || part == ".." || escape(part) != part {
			return wrong("%q cannot be a part of the root", part)
		}
	}
	if l.Root = "/" + root; l.Root == "/zookeeper" || strings.HasPrefix(l.Root, "/zookeeper/") {
		return wrong("/zookeeper is ZooKeeper's own")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return wrong("%v", err)
	}
	for name, value := range values {
		if name != "session_timeout" || len(value) != 1 {
			return wrong("%q is not known, or there twice", name)
		}
		if l.SessionTimeout, err = time.ParseDuration(value[0]); err != nil || l.SessionTimeout <= 0 {
			return wrong("session_timeout is %q", value[0])
		}
	}
	return l, nil
}
