package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"

	"soakd/internal/history"
	"soakd/internal/secret"
)

// historySettings say where the history lies and how much of it is kept.
type historySettings struct {
	HistoryURL       secret.String     `envconfig:"HISTORY_URL" desc:"Where runs, windows, findings and baselines are kept: a path or sqlite:PATH for a file on a local disk (several soakds may share it), postgres://user:password@host:port/database for a Postgres that several machines share, or none; empty: history.db in $STATE_DIRECTORY, $XDG_STATE_HOME/soakd, /var/lib/soakd (root, or where that can be written) or ~/.local/state/soakd, whichever there is first (secret)."`
	HistoryURLFile   string            `envconfig:"HISTORY_URL_FILE" desc:"File that holds the URL of the history (SOAKD_HISTORY_URL)."`
	HistorySchema    string            `envconfig:"HISTORY_SCHEMA" default:"soakd" desc:"Schema of the history in a Postgres, of a-z, 0-9 and _, up to 63 characters; it is made when the role may."`
	HistoryRetention history.Retention `envconfig:"HISTORY_RETENTION" default:"400d" desc:"How long runs, findings, events and windows of 1 h are kept, at least 1h; windows of 5 min for 35d and those of 1 min for 8d at most. Or each by itself: 1m=8d,5m=35d,1h=400d,runs=400d."`
	HistoryMaxBytes  int64             `envconfig:"HISTORY_MAX_BYTES" default:"2147483648" desc:"Size of the history from which on the oldest windows go before their time, in bytes, at least 16777216; 0: no bound."`

	location history.Location
}

// minHistory is less than what a week of minutes takes, in bytes.
const minHistory = 16 << 20

// schemaName matches names that need no quotes in Postgres.
var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// validate takes note of every mistake and reads where the history lies. Nothing
// is opened.
func (s *historySettings) validate(m *mistakes) {
	m.check(schemaName.MatchString(s.HistorySchema), "HISTORY_SCHEMA: %q must be 1 to 63 characters of a-z, 0-9 and _, such as soakd", s.HistorySchema)
	m.check(s.HistoryMaxBytes == 0 || s.HistoryMaxBytes >= minHistory, "HISTORY_MAX_BYTES: %d must be 0 (no bound) or at least %d", s.HistoryMaxBytes, minHistory)
	given, err := secret.Resolve(s.HistoryURL, s.HistoryURLFile)
	if err != nil {
		m.check(false, "HISTORY_URL, SOAKD_HISTORY_URL_FILE: %w", err)
		return
	}
	s.HistoryURL, s.HistoryURLFile = given, ""
	if s.location, err = history.Locate(given.Value(), os.Getenv); err != nil {
		m.check(false, "HISTORY_URL: %w", err)
	}
}

// openHistory opens the history; it is nil when there is to be none. With mustExist one
// that is not there yet is a mistake.
func (s *historySettings) openHistory(ctx context.Context, mustExist bool) (*history.Store, error) {
	if s.location.None() {
		return nil, nil //nolint:nilnil // documented
	}
	store, err := history.Open(ctx, history.Config{
		Location: s.location, Schema: s.HistorySchema, Retention: s.HistoryRetention, MaxBytes: s.HistoryMaxBytes, MustExist: mustExist,
	})
	if errors.Is(err, history.ErrUnusable) {
		return nil, usageError{fmt.Errorf("SOAKD_HISTORY_URL: %w", err)}
	}
	return store, err
}
