package postgres

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"soakd/internal/secret"
)

const (
	// defaultServer is the label of the server of SOAKD_POSTGRES_URL.
	defaultServer = "main"
	// maxServers bounds SOAKD_POSTGRES_SERVERS.
	maxServers = 16
)

// server is one server to watch.
type server struct {
	// name is its label value.
	name string
	// probe is the name of its probe.
	probe string
	// variable is the setting that its address comes from.
	variable string
	// read returns the address as it stands in the setting or in its file now.
	read func() (secret.String, error)
	// address is what read returned when the configuration was checked.
	address secret.String
	pool    *pgxpool.Config
}

var serverName = regexp.MustCompile(`^[a-z0-9_-]{1,40}$`)

// resolve reads the address and makes its pool.
func (s *server) resolve(l limits) error {
	address, err := s.read()
	if err != nil {
		return fmt.Errorf("%s: %w", s.variable, err)
	}
	pool, err := poolOf(address, l)
	if err != nil {
		return fmt.Errorf("%s: %w", s.where(), err)
	}
	s.address, s.pool = address, pool
	return nil
}

// where is the setting, with the server's name where the setting has several.
func (s *server) where() string {
	if s.probe == Name {
		return s.variable
	}
	return fmt.Sprintf("%s: %s", s.variable, s.name)
}

// summary is where a pool leads to, without secrets.
func summary(conn *pgx.ConnConfig) string {
	return fmt.Sprintf("%s/%s as %s", strings.Join(hostsOf(conn), ","), conn.Database, conn.User)
}

// hostsOf lists what is tried one after another, each once: with and without
// TLS are two attempts.
func hostsOf(conn *pgx.ConnConfig) []string {
	text := func(host string, port uint16) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }
	hosts := []string{text(conn.Host, conn.Port)}
	for _, fallback := range conn.Fallbacks {
		if next := text(fallback.Host, fallback.Port); !slices.Contains(hosts, next) {
			hosts = append(hosts, next)
		}
	}
	return hosts
}

// entry is one name=url of SOAKD_POSTGRES_SERVERS.
type entry struct {
	name    string
	address secret.String
}

// parseServers reads name=url entries that are separated by semicolons or ends
// of lines. Its errors hold no address: entry numbers count from 1.
func parseServers(text string) ([]entry, error) {
	var entries []entry
	var errs []error
	seen := map[string]bool{}
	number := 0
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ';' || r == '\n' || r == '\r' }) {
		if strings.TrimSpace(part) == "" {
			continue
		}
		number++
		name, address, ok := strings.Cut(part, "=")
		name, address = strings.TrimSpace(name), strings.TrimSpace(address)
		switch {
		case !ok || address == "" || !serverName.MatchString(name):
			errs = append(errs, fmt.Errorf("entry %d is not name=url with a name of a-z, 0-9, _ and -, up to 40 characters", number))
		case seen[name]:
			errs = append(errs, fmt.Errorf("the name %q is there twice", name))
		default:
			seen[name] = true
			entries = append(entries, entry{name, secret.New(address)})
		}
	}
	if number > maxServers {
		errs = append(errs, fmt.Errorf("has %d servers; at most %d are taken", number, maxServers))
	}
	return entries, errors.Join(errs...)
}

// findServers lists the servers of the configuration, resolved.
func (c *Config) findServers() ([]*server, error) {
	var errs []error
	var found []*server
	if c.URL.IsSet() || c.URLFile != "" {
		found = append(found, &server{
			name: c.MainName, probe: Name, variable: variableOf("SOAKD_POSTGRES_URL", c.URLFile),
			read: func() (secret.String, error) { return secret.Resolve(c.URL, c.URLFile) },
		})
	}
	others, err := c.otherServers()
	errs = append(errs, err)
	for _, other := range others {
		if len(found) > 0 && found[0].name == other.name {
			errs = append(errs, fmt.Errorf("%s: the name %q is that of SOAKD_POSTGRES_URL's server; see SOAKD_POSTGRES_NAME", other.variable, other.name))
		}
	}
	found = append(found, others...)
	for _, s := range found {
		errs = append(errs, s.resolve(c.limits()))
	}
	return found, errors.Join(errs...)
}

func (c *Config) otherServers() ([]*server, error) {
	variable := variableOf("SOAKD_POSTGRES_SERVERS", c.ServersFile)
	list := func() ([]entry, error) {
		text, err := secret.Resolve(c.Servers, c.ServersFile)
		if err != nil {
			return nil, err
		}
		return parseServers(text.Value())
	}
	entries, err := list()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	var found []*server
	for _, one := range entries {
		read := func() (secret.String, error) {
			now, err := list()
			if err != nil {
				return secret.String{}, err
			}
			i := slices.IndexFunc(now, func(e entry) bool { return e.name == one.name })
			if i < 0 {
				return secret.String{}, fmt.Errorf("the server %q is no longer there", one.name)
			}
			return now[i].address, nil
		}
		found = append(found, &server{name: one.name, probe: Name + "/" + one.name, variable: variable, read: read})
	}
	return found, nil
}

// variableOf is the variable that gives a secret.
func variableOf(variable, file string) string {
	if file != "" {
		return variable + "_FILE"
	}
	return variable
}
