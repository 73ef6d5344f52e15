package zkregistry

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// A proof is a state directory. It holds the kernel's boot id, the incarnations of the process that has it, and a lock that the kernel gives back
// when that process is dead, not before. Who gets the lock under the same boot id knows that those incarnations serve nothing any more. Under another boot id
// nothing is known: a folder may be shared by machines.
type proof struct {
	dir  string
	lock *os.File
	id   string // of the lock

	mu           sync.Mutex
	incarnations []uuid.UUID
}

// proofData is the form of the file, JSON.
type proofData struct {
	Boot         string      `json:"boot"`
	Lock         string      `json:"lock"` // device and inode of the lock: a copy of the folder proves nothing
	Incarnations []uuid.UUID `json:"incarnations"`
}

const (
	proofLock = "lock"
	proofFile = "incarnations"
	bootID    = "/proc/sys/kernel/random/boot_id"
)

// Magic numbers of file systems whose locks other machines may not see, see statfs(2).
var remoteFileSystems = []int64{0x6969 /* NFS */, 0xff534d42 /* CIFS */, 0xfe534d42 /* SMB2 */, 0x517b /* SMB */, 0x65735546 /* FUSE */, 0x5346414f, /* AFS */
	0x01021997 /* 9P */, 0x00c36400 /* Ceph */, 0x7461636f /* OCFS2 */, 0x01161970 /* GFS2 */}

// openProof takes the directory's lock and returns the incarnations that are surely dead. A directory that another process has gives no proof,
// and this process will leave none.
func (r *Registry) openProof(dir string) (dead []uuid.UUID, err error) {
	what := func(err error) error { return fmt.Errorf("state directory %s: %w", dir, err) }
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, what(err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return nil, what(err)
	}
	if slices.Contains(remoteFileSystems, int64(fs.Type)&0xffffffff) {
		return nil, what(fmt.Errorf("it is on a network file system (type %#x), whose locks prove nothing: use a folder on a local disk, or none", fs.Type))
	}
	lock, err := os.OpenFile(filepath.Join(dir, proofLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, what(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			r.log.Warn("another process has the state directory: this one will not be recognized when it is started again", "dir", dir)
			return nil, nil
		}
		return nil, what(os.NewSyscallError("flock", err))
	}
	var file unix.Stat_t
	if err := unix.Fstat(int(lock.Fd()), &file); err != nil {
		lock.Close()
		return nil, what(err)
	}
	p := &proof{dir: dir, lock: lock, id: fmt.Sprintf("%d:%d", file.Dev, file.Ino)}
	before, err := p.read()
	if err != nil {
		lock.Close()
		return nil, what(err)
	}
	boot, err := currentBoot()
	if err != nil {
		lock.Close()
		return nil, what(err)
	}
	r.proof = p
	if before.Boot != boot || before.Lock != p.id {
		return nil, nil
	}
	p.incarnations = before.Incarnations // until they are buried
	return slices.Clone(before.Incarnations), nil
}

func currentBoot() (string, error) {
	id, err := os.ReadFile(bootID)
	return strings.TrimSpace(string(id)), err
}

func (p *proof) read() (d proofData, err error) {
	data, err := os.ReadFile(filepath.Join(p.dir, proofFile))
	if errors.Is(err, os.ErrNotExist) {
		return d, nil
	} else if err != nil {
		return d, err
	}
	if json.Unmarshal(data, &d) != nil {
		return proofData{}, nil // cut short by a crash of the machine, or not ours: no proof
	}
	return d, nil
}

// record writes an incarnation down, durably, before there is anything of it in the registry.
func (p *proof) record(id uuid.UUID) error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Contains(p.incarnations, id) {
		return nil
	}
	p.incarnations = append(p.incarnations, id)
	return p.write()
}

// forget strikes an incarnation of which there is nothing left in the registry.
func (p *proof) forget(id uuid.UUID) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.incarnations, id); i >= 0 {
		p.incarnations = slices.Delete(p.incarnations, i, i+1)
		_ = p.write() // what stands there too long is looked for in vain
	}
}

// write replaces the file.
func (p *proof) write() error {
	boot, err := currentBoot()
	if err != nil {
		return err
	}
	data, err := json.Marshal(proofData{boot, p.id, p.incarnations})
	if err != nil {
		return err
	}
	path := filepath.Join(p.dir, proofFile)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	d, err := os.Open(p.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (p *proof) close() {
	if p != nil {
		p.lock.Close()
	}
}
