package redis

import (
	"strconv"
	"strings"

	"soakd/internal/probes"
)

// form is a way to ask for INFO.
type form int

const (
	// formAll is INFO all: everything but the sections of modules.
	formAll form = iota
	// formSections is INFO with the sections that are read, from Redis 7 on. It
	// spares the server the percentiles of each command, which INFO all computes.
	formSections
	// formPlain is INFO: without the statistics of commands.
	formPlain
)

// sections chooses how a server is asked for INFO.
type sections struct {
	form form
	// one tells that the server refused several sections at once.
	one bool
}

// names are the arguments of INFO.
func (s *sections) names() []string {
	switch s.form {
	case formSections:
		return []string{
			"server", "clients", "memory", "persistence", "stats", "replication", "cpu", "commandstats", "errorstats", "cluster", "keyspace",
		}
	case formPlain:
		return nil
	default:
		return []string{"all"}
	}
}

// refused takes in the error of INFO and reports whether to ask again in another
// way, which a server does that does not know the arguments.
func (s *sections) refused(err error) bool {
	reply, ok := replyOf(err)
	if !ok || replyReason(reply) != probes.ReasonOther {
		return false
	}
	switch s.form {
	case formSections:
		s.form, s.one = formAll, true
	case formAll:
		s.form = formPlain
	default:
		// It was not for the arguments: a fault that may pass, as of a proxy.
		s.form = formAll
		return false
	}
	return true
}

// choose takes in an answer, which tells the version: several sections need the
// one of Redis 7. A server that came in another's place after an upgrade or a
// downgrade is asked with INFO all first.
func (s *sections) choose(fields info) {
	major, _, _ := strings.Cut(fields["redis_version"], ".")
	if number, err := strconv.Atoi(major); err == nil && number >= 7 && s.form == formAll && !s.one {
		s.form = formSections
	}
}
