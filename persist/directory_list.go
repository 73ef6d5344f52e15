package persist

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/highlander-go/highlander/object"
)

// List implements [object.Store]. Files that no put can have made are left out.
func (d *Directory) List(ctx context.Context, prefix, after string, limit int) ([]object.Entry, error) {
	if err := checkLimit(limit); err != nil {
		return nil, opList.failed(prefix, err)
	}
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, opList.failed(prefix, err)
	}
	defer leave()
	l := listing{disk: d.disk, prefix: prefix, after: after, limit: limit}
	if err := l.start(ctx); err != nil {
		return nil, opList.failed(prefix, err)
	}
	if err := d.home.check(); err != nil { // a folder that has vanished looks empty
		return nil, opList.failed(prefix, err)
	}
	return l.entries, nil
}

// A listing is one page on its way through the folders.
type listing struct {
	disk          disk
	prefix, after string
	limit         int
	entries       []object.Entry
}

// start begins in the deepest folder that all names with the prefix are in.
func (l *listing) start(ctx context.Context) error {
	slash := strings.LastIndexByte(l.prefix, '/')
	if slash < 0 {
		return l.folder(ctx, "")
	}
	if checkName(l.prefix[:slash]) != nil {
		return nil // no blob has such a name
	}
	return l.folder(ctx, l.prefix[:slash+1])
}

// folder adds the blobs in a folder, which is "" or ends in a slash. The order of blobs' names is that of the folder's
// entries if folders are compared with their slash.
func (l *listing) folder(ctx context.Context, folder string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := l.disk.ReadFolder(path.Clean(folder))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	var found []string
	for _, e := range entries {
		name := folder + e.Name()
		switch {
		case !isSegment(e.Name()):
		case e.IsDir():
			if l.wantsFolder(name + "/") {
				found = append(found, name+"/")
			}
		case e.Type().IsRegular() && name > l.after && strings.HasPrefix(name, l.prefix):
			found = append(found, name)
		}
	}
	slices.Sort(found)
	for _, name := range found {
		if len(l.entries) == l.limit {
			return nil
		}
		add := l.file
		if strings.HasSuffix(name, "/") {
			add = l.folder
		}
		if err := add(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// file adds a blob, if it is still there.
func (l *listing) file(_ context.Context, name string) error {
	size, err := l.disk.Size(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	l.entries = append(l.entries, object.Entry{Name: name, Size: size})
	return nil
}

// wantsFolder tells whether a name in the folder can begin with the prefix and come after the last.
func (l *listing) wantsFolder(folder string) bool {
	return (strings.HasPrefix(folder, l.prefix) || strings.HasPrefix(l.prefix, folder)) &&
		(folder > l.after || strings.HasPrefix(l.after, folder))
}
