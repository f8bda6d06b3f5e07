package history

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"soakd/internal/secret"
)

// Location is where a history lies. The zero value is nowhere.
type Location struct {
	// path is that of the SQLite file, "" for Postgres.
	path string
	// url is that of the Postgres database.
	url secret.String
}

// systemFolder is where the histories of services lie, by the Filesystem Hierarchy
// Standard 3.0, 5.8.
const systemFolder = "/var/lib/soakd"

// Locate reads a location: "none" for no history at all, postgres://... for a
// Postgres database, sqlite:PATH, sqlite:///PATH or a path for a file, and "" for
// the file soakd/history.db where the system keeps the state of programs: in
// $STATE_DIRECTORY (systemd), $XDG_STATE_HOME/soakd, /var/lib/soakd for root and
// where that is there to be written, else ~/.local/state/soakd. getenv is [os.Getenv].
// Its errors do not hold the password.
func Locate(text string, getenv func(string) string) (Location, error) {
	scheme, rest, found := strings.Cut(text, ":")
	switch {
	case text == "none":
		return Location{}, nil
	case text == "":
		folder, err := stateFolder(getenv)
		return Location{path: filepath.Join(folder, "history.db")}, err
	case found && (scheme == "postgres" || scheme == "postgresql"):
		if _, err := pgx.ParseConfig(text); err != nil {
			return Location{}, errors.New("this is no URL of a Postgres: it must be as postgres://user:password@host:5432/database?sslmode=require")
		}
		return Location{url: secret.New(text)}, nil
	case found && scheme == "sqlite":
		return locateFile(strings.TrimPrefix(rest, "//"))
	case strings.Contains(text, "://"):
		return Location{}, fmt.Errorf("the scheme %q is not known: it must be sqlite:PATH, postgres://user:password@host:5432/database, a path, or none", scheme)
	}
	return locateFile(text)
}

func locateFile(path string) (Location, error) {
	if path == "" || strings.HasSuffix(path, "/") {
		return Location{}, fmt.Errorf("%q is no path of a file, such as /var/lib/soakd/history.db", path)
	}
	absolute, err := filepath.Abs(path)
	return Location{path: absolute}, err
}

func stateFolder(getenv func(string) string) (string, error) {
	// systemd gives several folders separated by colons when a unit names several.
	if given, _, _ := strings.Cut(getenv("STATE_DIRECTORY"), ":"); filepath.IsAbs(given) {
		return given, nil
	}
	if given := getenv("XDG_STATE_HOME"); filepath.IsAbs(given) {
		return filepath.Join(given, "soakd"), nil
	}
	if os.Geteuid() == 0 || writable(systemFolder) {
		return systemFolder, nil
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "soakd"), nil
	}
	return "", errors.New("there is no folder for it by default (XDG_STATE_HOME and HOME are not set): give a path, or none to keep no history")
}

// writable reports whether a file can be made in a folder.
func writable(folder string) bool {
	file, err := os.CreateTemp(folder, ".soakd-*")
	if err != nil {
		return false
	}
	return errors.Join(file.Close(), os.Remove(file.Name())) == nil
}

// None reports whether it is nowhere.
func (l Location) None() bool { return l.path == "" && !l.url.IsSet() }

// String says where, without the password.
func (l Location) String() string {
	switch {
	case l.path != "":
		return l.path
	case l.url.IsSet():
		u, err := url.Parse(l.url.Value())
		if err != nil {
			return "postgres"
		}
		return (&url.URL{Scheme: "postgres", Host: u.Host, Path: u.Path}).String()
	}
	return "none"
}
