package localservices

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// dirPrefix starts the name of every temporary folder of the package.
	dirPrefix = "soakd-local-"
	// ownerFile is in every such folder; its owner keeps it locked while alive.
	ownerFile = "owner.pid"
	// dataFolder is the name of the server's own folder in it.
	dataFolder = "data"
	// settleTime is how old a folder without an owner file must be to count as
	// left behind rather than as being made just now.
	settleTime = 10 * time.Minute
)

// workDir is the temporary folder of one server.
//
// It is marked with a file that holds the pid of its owner and is locked by
// it. The kernel drops the lock when the owner ends in whatever way, so a free
// lock tells a leftover for sure, also where the pid has been given to another
// process or means nothing because it was of another container.
type workDir struct {
	path string
	lock *os.File
}

// newWorkDir makes a folder for a server that runs as a, below parent, and
// removes what killed processes left there before.
func newWorkDir(parent, kind string, a *account, logger *slog.Logger) (*workDir, error) {
	parent, err := reachableParent(parent, a)
	if err != nil {
		return nil, err
	}
	sweep(parent, logger)
	path, err := os.MkdirTemp(parent, dirPrefix+kind+"-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	d := &workDir{path: path}
	if err := d.mark(a); err != nil {
		return nil, errors.Join(err, d.remove())
	}
	return d, nil
}

// reachableParent returns the folder to make temporary folders in.
func reachableParent(parent string, a *account) (string, error) {
	if parent != "" {
		if err := a.reach(parent); err != nil {
			return "", fmt.Errorf("use %s for temporary files: %w", parent, err)
		}
		return parent, nil
	}
	var first error
	for _, candidate := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		err := a.reach(candidate)
		if err == nil {
			return candidate, nil
		}
		if first == nil {
			first = err
		}
	}
	return "", fmt.Errorf("find a folder for temporary files: %w", first)
}

// mark locks the folder for this process and lets the server's user pass
// through it. The marker gets its name only once it is locked, so nobody sees
// it free.
func (d *workDir) mark(a *account) error {
	lock, err := os.OpenFile(filepath.Join(d.path, ownerFile+".new"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("mark %s: %w", d.path, err)
	}
	d.lock = lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, err := lock.WriteString(strconv.Itoa(os.Getpid()) + "\n"); err != nil {
		return fmt.Errorf("mark %s: %w", d.path, err)
	}
	if err := os.Rename(lock.Name(), filepath.Join(d.path, ownerFile)); err != nil {
		return fmt.Errorf("mark %s: %w", d.path, err)
	}
	if a == nil {
		return nil
	}
	return os.Chmod(d.path, 0o711) //nolint:gosec // only to pass through, not to list
}

// join returns the path of name in the folder.
func (d *workDir) join(name string) string { return filepath.Join(d.path, name) }

// ensure makes a private folder for the server's user unless it is there.
func (d *workDir) ensure(name string, a *account) error {
	path := d.join(name)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return a.own(path)
}

// writeFile writes a file that only the server's user can read.
func (d *workDir) writeFile(name, text string, a *account) (string, error) {
	path := d.join(name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", err
	}
	return path, a.own(path)
}

// NotRemovedError says that the temporary files of a server could not be
// removed. A failed start and Stop return it among their errors; the next start
// of any server tries again.
type NotRemovedError struct {
	Err error // names the file and the reason
}

// Error says which file is left and why.
func (e *NotRemovedError) Error() string { return "remove temporary files: " + e.Err.Error() }

// Unwrap returns the reason.
func (e *NotRemovedError) Unwrap() error { return e.Err }

// remove deletes the folder and gives up its lock.
func (d *workDir) remove() error {
	err := os.RemoveAll(d.path)
	if d.lock != nil {
		_ = d.lock.Close() // nothing was written since the marker
	}
	if err != nil {
		return &NotRemovedError{Err: err}
	}
	return nil
}

// sweep removes the folders below parent that killed processes of this user
// left behind. It never fails: what cannot be removed now stays for later.
func sweep(parent string, logger *slog.Logger) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, entry := range entries {
		path := filepath.Join(parent, entry.Name())
		if !strings.HasPrefix(entry.Name(), dirPrefix) || !leftBehind(path) {
			continue
		}
		removeSharedMemory(path)
		if err := os.RemoveAll(path); err != nil {
			logger.Warn("could not remove the temporary files of an earlier run", "folder", path, "err", err)
			continue
		}
		logger.Info("removed the temporary files of an earlier run that was killed", "folder", path)
	}
}

// leftBehind reports whether path is a folder of this user without a living owner.
func leftBehind(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return false
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Geteuid() {
		return false
	}
	lock, err := os.OpenFile(filepath.Join(path, ownerFile), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Since(info.ModTime()) > settleTime
	}
	if err != nil {
		return false
	}
	defer lock.Close() //nolint:errcheck // read only
	return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
