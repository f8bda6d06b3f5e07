// Package localservices runs private servers beside a demo or a test: a
// Postgres, a Redis, a Prometheus, an Alertmanager and a Pushgateway that listen on a free
// loopback port, keep
// everything in one temporary folder and are gone, with their files, when they
// are stopped. On Linux they are gone even when the process that started them
// was killed.
//
// Binaries installed on the machine are preferred. Without them Postgres is
// downloaded once (see [Options.RepositoryURL]) and Redis is replaced by an
// in-process one that speaks its protocol but measures little; Kind and
// NotMeasured of the server say which it is and what is then missing.
//
// The package is made for Unix systems. It must not be used by anything that
// runs beside a real target.
package localservices

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Mode says where a server may come from.
type Mode string

const (
	// Auto takes the binaries installed on the machine, else the embedded server.
	// It is the default (as is the empty Mode).
	Auto Mode = "auto"
	// System takes the binaries installed on the machine and fails without them.
	System Mode = "system"
	// Embedded takes the embedded server even where binaries are installed.
	Embedded Mode = "embedded"
)

// startTimeout bounds a start, without the download of an embedded server.
// A cold start takes about two seconds on one slow core.
const startTimeout = 60 * time.Second

// Options are the choices of a start. The zero value is ready for use.
type Options struct {
	// Mode says where the server may come from; empty means [Auto].
	Mode Mode
	// Logger gets a few lines about starts, stops and leftovers; nil drops them.
	Logger *slog.Logger
	// Dir is the parent of the temporary folder; it must exist. Empty means
	// os.TempDir, or /tmp or /var/tmp when the user the server runs as cannot
	// reach that.
	Dir string
	// Settings are added to postgresql.conf or redis.conf and win over the
	// package's own; for Prometheus, Alertmanager and Pushgateway they are command line flags
	// without the leading dashes.
	Settings map[string]string
	// MaxMemory is the memory limit of Redis, in Redis' notation; empty means 16mb.
	MaxMemory string
	// RepositoryURL is the Maven repository that the embedded Postgres comes
	// from; empty means https://repo1.maven.org/maven2. A password in it is
	// never printed.
	RepositoryURL string
	// CacheDir keeps the downloaded archive of the embedded Postgres for the
	// next start; empty means the folder soakd below os.UserCacheDir.
	CacheDir string

	// sentinel makes the Redis a sentinel.
	sentinel bool
	// port replaces the choice of a free port in tests.
	port func() (int, error)
	// searchPath replaces PATH and the well-known folders in tests.
	searchPath []string
}

// settingName matches the names that may be written into a configuration file.
var settingName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_.-]*$`)

// withDefaults returns o with every empty field filled in, or what is wrong with it.
func (o Options) withDefaults() (Options, error) {
	switch o.Mode {
	case "":
		o.Mode = Auto
	case Auto, System, Embedded:
	default:
		return o, fmt.Errorf("mode %q: want %s, %s or %s", o.Mode, Auto, System, Embedded)
	}
	for name, value := range o.Settings {
		if !settingName.MatchString(name) {
			return o, fmt.Errorf("setting %q: not a name", name)
		}
		if strings.ContainsAny(value, "\r\n\x00") {
			return o, fmt.Errorf("setting %q: the value holds a line break", name)
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxMemory == "" {
		o.MaxMemory = "16mb"
	}
	if o.RepositoryURL == "" {
		o.RepositoryURL = "https://repo1.maven.org/maven2"
	}
	parsed, err := url.Parse(o.RepositoryURL)
	if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return o, fmt.Errorf("repository URL: want http(s)://host/path")
	}
	if o.port == nil {
		o.port = freePort
	}
	return o, nil
}

// newPassword returns 128 random bits in hexadecimal, which needs no quoting
// in SQL, in redis.conf or in a URL.
func newPassword() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(raw[:])
}
