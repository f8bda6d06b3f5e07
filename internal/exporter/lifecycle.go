package exporter

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"soakd/internal/load"
	"soakd/internal/load/schedule"
)

// LoadControl changes the load while it runs. [load.Engine] is one.
type LoadControl interface {
	SetRate(rate schedule.Rate) error
	Pause() error
	Resume() error
	TargetRate() float64
	Throttle() load.Throttle
}

// maxRateBody bounds the body of PUT /-/rate, in bytes.
const maxRateBody = 1 << 10

// handleLifecycle serves the changes of the load; control is nil when they are
// not enabled. A page of another site cannot make a browser ask for them.
func handleLifecycle(mux *http.ServeMux, control LoadControl) {
	guard := http.NewCrossOriginProtection()
	for pattern, change := range map[string]func(*http.Request, LoadControl) error{
		"PUT /-/rate":    setRate,
		"POST /-/pause":  func(_ *http.Request, c LoadControl) error { return c.Pause() },
		"POST /-/resume": func(_ *http.Request, c LoadControl) error { return c.Resume() },
	} {
		mux.Handle(pattern, guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if control == nil {
				answer(w, http.StatusForbidden, "the load cannot be changed over HTTP: start soakd with SOAKD_ENABLE_LIFECYCLE=true\n")
				return
			}
			answerChange(w, control, change(r, control))
		})))
	}
}

// badRateError is a rate that cannot be read.
type badRateError struct{ err error }

func (e badRateError) Error() string { return e.err.Error() }
func (e badRateError) Unwrap() error { return e.err }

// answerChange answers with the load as it is now, or with why it could not be
// changed: 400 when the request is wrong, 409 when the run does not allow it.
func answerChange(w http.ResponseWriter, control LoadControl, err error) {
	var bad badRateError
	switch {
	case errors.As(err, &bad):
		answer(w, http.StatusBadRequest, err.Error()+"\n")
	case err != nil:
		answer(w, http.StatusConflict, err.Error()+"\n")
	default:
		throttle := control.Throttle()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(loadNow{ // the reader has gone: nobody to tell
			TargetRate: control.TargetRate(), Factor: throttle.Factor, Paused: throttle.Paused, Circuit: string(throttle.Circuit.State),
		})
	}
}

// loadNow is the load at one moment.
type loadNow struct {
	// TargetRate is what is aimed at, in arrivals a second: of a shard its part.
	TargetRate float64 `json:"target_rate"`
	// Factor is what pause and circuit leave of the load, 0..1.
	Factor  float64 `json:"factor"`
	Paused  bool    `json:"paused"`
	Circuit string  `json:"circuit,omitempty"`
}

// setRate makes the rate the one that the request gives.
func setRate(r *http.Request, control LoadControl) error {
	rate, err := readRate(r.URL.RawQuery, r.Body)
	if err != nil {
		return badRateError{fmt.Errorf("%w; the rate is the body, as text or as {\"rate\":200}, or ?value=200", err)}
	}
	return control.SetRate(rate)
}

// readRate takes the rate from the query or the body, whichever has it.
func readRate(query string, body io.Reader) (schedule.Rate, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return 0, errors.New("the query cannot be read")
	}
	content, err := io.ReadAll(io.LimitReader(body, maxRateBody+1))
	if err != nil {
		return 0, fmt.Errorf("read the body: %w", err)
	}
	given, text := values["value"], strings.TrimSpace(string(content))
	delete(values, "value")
	switch {
	case len(content) > maxRateBody:
		return 0, fmt.Errorf("a body of more than %d bytes is no rate", maxRateBody)
	case len(values) > 0:
		return 0, errors.New("the query has more than a value")
	case len(given) > 1, len(given) == 1 && text != "":
		return 0, errors.New("the rate is given twice: give it once")
	case len(given) == 1:
		text = given[0]
	case strings.HasPrefix(text, "{"):
		if text, err = rateOf(text); err != nil {
			return 0, err
		}
	}
	return schedule.ParseRate(text)
}

// rateOf returns the rate in a JSON object as it is written there: a float64
// would round it.
func rateOf(text string) (string, error) {
	var content struct {
		Rate json.Number `json:"rate"`
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&content); err != nil {
		return "", fmt.Errorf("read the JSON: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return "", errors.New("there is more behind the JSON")
	}
	return content.Rate.String(), nil
}
