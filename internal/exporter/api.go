package exporter

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
	"unicode"

	"soakd/internal/judge"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/outage"
	"soakd/internal/judge/window"
)

// Judgement is what /api/v1 tells of. Its methods may be called at any time.
type Judgement interface {
	// Verdict judges now, or with whole the run from its start.
	Verdict(whole bool) judge.Verdict
	Findings() []judge.Finding
	// Events returns those with a number above after.
	Events(after int64) []judge.Event
	// Windows returns the latest n windows of a level that are in memory, oldest first.
	Windows(level time.Duration, n int) iter.Seq[*window.Window]
	// Comparison is the latest with another version or the baseline; nil while there is none.
	Comparison() (c *baseline.Comparison, final bool)
	// Outages are the latest outages, oldest first.
	Outages() []outage.Record
	// Annotate notes what happened at the target.
	Annotate(at time.Time, text, version string)
	// AnnotateDrill notes a fault that is meant, until when if that is known.
	AnnotateDrill(at, until time.Time, text string)
}

// API is what /api/v1 needs.
type API struct {
	Judgement Judgement
	// Status returns the document of /api/v1/status.
	Status func() any
	// Writable tells that events may be posted.
	Writable bool
}

// The bounds of what may be asked for and posted.
const (
	defaultWindows = 60
	maxWindows     = 1000
	maxEventBody   = 8 << 10
	maxTextBytes   = 500
	maxVersion     = 64
	// maxEvents is how many events may be posted in an eventsPer: more would push
	// what was found out of those that are kept.
	maxEvents = 60
	eventsPer = time.Hour
)

// budget allows [maxEvents] at once and in each [eventsPer] after that. The zero
// value is full.
type budget struct {
	mu sync.Mutex
	// spent comes back with time, counted up to at.
	spent float64
	at    time.Time
}

// take reports whether there is one left at the time now.
func (b *budget) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = max(0, b.spent-maxEvents*max(0, now.Sub(b.at)).Seconds()/eventsPer.Seconds())
	b.at = now
	if b.spent+1 > maxEvents {
		return false
	}
	b.spent++
	return true
}

// handleAPI serves /api/v1. Everything but POST /api/v1/events only reads.
func handleAPI(mux *http.ServeMux, api API) {
	mux.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, api.Status()) })
	for path, read := range map[string]func(url.Values) (any, error){
		"verdict": api.verdict, "findings": api.findings, "events": api.events, "windows": api.windows,
		"comparison": api.comparison, "outages": api.outages,
	} {
		mux.HandleFunc("GET /api/v1/"+path, func(w http.ResponseWriter, r *http.Request) {
			document, err := read(r.URL.Query())
			if err != nil {
				answerJSON(w, http.StatusBadRequest, problem{err.Error()})
				return
			}
			answerJSON(w, http.StatusOK, document)
		})
	}
	guard := http.NewCrossOriginProtection()
	limit := &budget{}
	mux.Handle("POST /api/v1/events", guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { api.annotate(w, r, limit) })))
}

// problem is what an error looks like in JSON.
type problem struct {
	Error string `json:"error"`
}

func answerJSON(w http.ResponseWriter, status int, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"the answer could not be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the reader has gone: nobody to tell
}

// only refuses parameters that are not among names.
func only(query url.Values, names ...string) error {
	for name := range query {
		known := false
		for _, n := range names {
			known = known || n == name
		}
		if !known {
			return fmt.Errorf("parameter %.40q is not known; there are %q", name, names)
		}
	}
	return nil
}

func flagOf(query url.Values, name string) (bool, error) {
	text := query.Get(name)
	if text == "" {
		return false, nil
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s: %.40q is neither true nor false", name, text)
	}
	return value, nil
}

func numberOf(query url.Values, name string, otherwise, low, high int64) (int64, error) {
	text := query.Get(name)
	if text == "" {
		return otherwise, nil
	}
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil || value < low || value > high {
		return 0, fmt.Errorf("%s: %.40q is not a whole number from %d to %d", name, text, low, high)
	}
	return value, nil
}

func (a API) verdict(query url.Values) (any, error) {
	whole, err := flagOf(query, "whole")
	if err := errors.Join(only(query, "whole"), err); err != nil {
		return nil, err
	}
	return a.Judgement.Verdict(whole), nil
}

func (a API) findings(query url.Values) (any, error) {
	open, err := flagOf(query, "open")
	if err := errors.Join(only(query, "open"), err); err != nil {
		return nil, err
	}
	list := []judge.Finding{}
	for _, f := range a.Judgement.Findings() {
		if !open || f.Open() {
			list = append(list, f)
		}
	}
	return map[string]any{"findings": list}, nil
}

func (a API) events(query url.Values) (any, error) {
	after, err := numberOf(query, "after", 0, 0, 1<<62)
	if err := errors.Join(only(query, "after"), err); err != nil {
		return nil, err
	}
	events := a.Judgement.Events(after)
	if events == nil {
		events = []judge.Event{}
	}
	return map[string]any{"events": events}, nil
}

func (a API) windows(query url.Values) (any, error) {
	levels := map[string]time.Duration{"": window.Minute, "10s": window.Short, "1m": window.Minute, "5m": window.Five, "1h": window.Hour}
	level, known := levels[query.Get("level")]
	n, err := numberOf(query, "n", defaultWindows, 1, maxWindows)
	if !known {
		err = errors.Join(fmt.Errorf("level: %.40q must be 10s, 1m, 5m or 1h", query.Get("level")), err)
	}
	if err := errors.Join(only(query, "level", "n", "case"), err); err != nil {
		return nil, err
	}
	list := []windowDocument{}
	for w := range a.Judgement.Windows(level, int(n)) {
		list = append(list, documentOf(w, query.Get("case")))
	}
	return map[string]any{"level_seconds": level.Seconds(), "windows": list}, nil
}

// comparisonDocument is a comparison as JSON.
type comparisonDocument struct {
	// Final tells that it does not change any more.
	Final      bool                 `json:"final"`
	Comparison *baseline.Comparison `json:"comparison"`
}

func (a API) comparison(query url.Values) (any, error) {
	if err := only(query); err != nil {
		return nil, err
	}
	c, final := a.Judgement.Comparison()
	return comparisonDocument{Final: final, Comparison: c}, nil
}

func (a API) outages(query url.Values) (any, error) {
	if err := only(query); err != nil {
		return nil, err
	}
	list := a.Judgement.Outages()
	if list == nil {
		list = []outage.Record{}
	}
	return map[string]any{"outages": list}, nil
}

// windowDocument is a window as JSON. Times are seconds, of response times from
// the intended start.
type windowDocument struct {
	Start          time.Time      `json:"start"`
	CoveredSeconds float64        `json:"covered_seconds"`
	FitSeconds     float64        `json:"fit_seconds"`
	Unfit          []string       `json:"unfit,omitempty"`
	Rate           float64        `json:"rate"`
	Phase          string         `json:"phase,omitempty"`
	Version        string         `json:"version,omitempty"`
	Scheduled      int64          `json:"scheduled"`
	Sent           int64          `json:"sent"`
	Dropped        int64          `json:"dropped"`
	Cases          []caseDocument `json:"cases"`
}

type caseDocument struct {
	Case     string           `json:"case"`
	Class    string           `json:"class"`
	Invalid  bool             `json:"invalid,omitempty"`
	Requests int64            `json:"requests"`
	Failed   int64            `json:"failed"`
	Outcomes map[string]int64 `json:"outcomes"`
	Checks   map[string]int64 `json:"failed_checks,omitempty"`
	Timed    uint64           `json:"timed"`
	P50      float64          `json:"p50_seconds"`
	P90      float64          `json:"p90_seconds"`
	P95      float64          `json:"p95_seconds"`
	P99      float64          `json:"p99_seconds"`
	Max      float64          `json:"max_seconds"`
}

func documentOf(w *window.Window, only string) windowDocument {
	d := windowDocument{
		Start: w.Start, CoveredSeconds: w.Covered.Seconds(), FitSeconds: w.Fit.Seconds(), Unfit: w.Unfit, Rate: w.Rate, Phase: w.Phase, Version: w.Version,
		Scheduled: w.Scheduled, Sent: w.Sent, Dropped: w.Dropped, Cases: []caseDocument{},
	}
	for i := range w.Cases {
		c := &w.Cases[i]
		if only != "" && c.Name != only {
			continue
		}
		one := caseDocument{Case: c.Name, Class: c.Class, Invalid: c.Invalid, Requests: c.Requests(), Failed: c.Failed(), Outcomes: asMap(c.Outcomes), Checks: asMap(c.Checks)}
		if t := c.Times; t != nil {
			one.Timed = t.Count()
			one.P50, one.P90, one.P95, one.P99, one.Max = t.Quantile(0.5).Seconds(), t.Quantile(0.9).Seconds(), t.Quantile(0.95).Seconds(), t.Quantile(0.99).Seconds(), t.Max().Seconds()
		}
		d.Cases = append(d.Cases, one)
	}
	return d
}

func asMap(counts []window.Count) map[string]int64 {
	m := make(map[string]int64, len(counts))
	for _, c := range counts {
		m[c.Name] = c.N
	}
	return m
}

// annotation is the body of POST /api/v1/events.
type annotation struct {
	// Kind is annotation, which is what absence means, or drill: a fault that somebody
	// switches on on purpose.
	Kind judge.EventKind `json:"kind"`
	// Text says what happened, 1 to 500 bytes: "deployed v1.4.2".
	Text string `json:"text"`
	// Version is the target's from now on, "" when it stays.
	Version string `json:"version"`
	// At is when, in RFC 3339; absent means now.
	At time.Time `json:"at"`
	// Until is when a drill ends, or Duration how long it lasts, such as 10m; at most a day.
	// Absent means that nobody knows.
	Until    time.Time `json:"until,omitzero"`
	Duration string    `json:"duration,omitempty"`
}

// annotate takes note of what somebody says happened at the target.
func (a API) annotate(w http.ResponseWriter, r *http.Request, limit *budget) {
	if !a.Writable {
		answerJSON(w, http.StatusForbidden, problem{"events cannot be posted: start soakd with SOAKD_ENABLE_LIFECYCLE=true"})
		return
	}
	note, err := readAnnotation(http.MaxBytesReader(w, r.Body, maxEventBody), time.Now())
	if err != nil {
		answerJSON(w, http.StatusBadRequest, problem{err.Error()})
		return
	}
	if !limit.take(time.Now()) {
		w.Header().Set("Retry-After", strconv.Itoa(int(eventsPer.Seconds()/maxEvents)))
		answerJSON(w, http.StatusTooManyRequests, problem{fmt.Sprintf("more than %d events in %v: post what changes the target, not what it does", maxEvents, eventsPer)})
		return
	}
	if note.Kind == judge.Drill {
		a.Judgement.AnnotateDrill(note.At, note.Until, note.Text)
	} else {
		a.Judgement.Annotate(note.At, note.Text, note.Version)
	}
	answerJSON(w, http.StatusCreated, note)
}

// annotationReach is how far from now an event may be.
const annotationReach = 24 * time.Hour

func readAnnotation(body io.Reader, now time.Time) (annotation, error) {
	note := annotation{}
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&note); err != nil {
		return annotation{}, fmt.Errorf(`the body must be JSON such as {"text": "deployed v1.4.2", "version": "v1.4.2"}: %w`, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return annotation{}, errors.New("the body goes on after the event: post one at a time")
	}
	if note.At.IsZero() {
		note.At = now
	}
	note.At = note.At.UTC()
	errs := []error{note.readKind()}
	if len(note.Text) == 0 || len(note.Text) > maxTextBytes || !printable(note.Text) {
		errs = append(errs, fmt.Errorf("text: it must be one line of 1 to %d bytes", maxTextBytes))
	}
	if len(note.Version) > maxVersion || !printable(note.Version) {
		errs = append(errs, fmt.Errorf("version: it must be one line of at most %d bytes", maxVersion))
	}
	if away := note.At.Sub(now).Abs(); away > annotationReach {
		errs = append(errs, fmt.Errorf("at: it must be within %v of now", annotationReach))
	}
	return note, errors.Join(errs...)
}

// readKind checks what belongs to the kind, and makes of a duration the end of a drill.
func (n *annotation) readKind() error {
	lasts := !n.Until.IsZero() || n.Duration != ""
	switch {
	case n.Kind == "":
		n.Kind = judge.Annotation
	case n.Kind != judge.Annotation && n.Kind != judge.Drill:
		return fmt.Errorf("kind: %.40q must be annotation or drill", n.Kind)
	}
	switch {
	case n.Kind == judge.Annotation && lasts:
		return errors.New("until, duration: they belong to a drill; an annotation is one moment")
	case n.Kind == judge.Annotation:
		return nil
	case n.Version != "":
		return errors.New("version: a drill brings none; post that as an annotation of its own")
	case !n.Until.IsZero() && n.Duration != "":
		return errors.New("until, duration: give one of them")
	case n.Duration != "":
		lasting, err := time.ParseDuration(n.Duration)
		if err != nil {
			return fmt.Errorf("duration: %.40q is not one such as 10m or 1h30m", n.Duration)
		}
		n.Until, n.Duration = n.At.Add(lasting), ""
	}
	n.Until = n.Until.UTC()
	if lasting := n.Until.Sub(n.At); lasts && (lasting <= 0 || lasting > annotationReach) {
		return fmt.Errorf("until, duration: a drill lasts more than nothing and at most %v", annotationReach)
	}
	return nil
}

// printable reports whether a text is UTF-8 on one line without control characters.
func printable(text string) bool {
	for _, r := range text {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == '\uFFFD' {
			return false
		}
	}
	return true
}
