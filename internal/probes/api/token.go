package api

import (
	"errors"
	"fmt"

	"soakd/internal/probes"
	"soakd/internal/secret"
)

// token is the bearer token of all pages.
type token struct {
	// file holds the token; "" when it never changes.
	file  string
	value secret.String
	// err is why the file could not be read at the last refresh.
	err error
}

// refresh reads the file anew: whoever rotates a token writes it anew, and a
// time of change with a resolution of some ms would miss one of two writes. A
// file that cannot be read leaves the token as it was, which may be good still. It
// is called while nobody reads a page.
func (t *token) refresh() {
	if t.file == "" {
		return
	}
	value, err := secret.ReadFile(t.file)
	if err == nil && !headerSafe(value.Value()) {
		err = errTokenCharacters
	}
	if t.err = err; err == nil {
		t.value = value
	}
}

func (t *token) current() secret.String { return t.value }

var errTokenCharacters = errors.New("holds characters that a header cannot carry")

// explain adds to a refusal that there may be a newer token which cannot be read.
func (t *token) explain(err error) error {
	if t.err == nil || probes.ReasonOf(err) != probes.ReasonAuth && probes.ReasonOf(err) != probes.ReasonPermission {
		return err
	}
	return fmt.Errorf("%w (SOAKD_API_METRICS_TOKEN_FILE: %w)", err, t.err)
}
