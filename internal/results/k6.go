package results

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"soakd/internal/load"
)

// The metrics of k6 that are read (https://grafana.com/docs/k6/latest/using-k6/metrics/reference/).
const (
	k6Duration = "http_req_duration"
	k6Failed   = "http_req_failed"
	k6Dropped  = "dropped_iterations"
	k6Checks   = "checks"
	k6Users    = "vus"
)

// k6Point is a sample of one of k6's metrics.
type k6Point struct {
	metric string
	at     time.Time
	value  float64
	// The tags that are used; expected is "true", "false" or "" where it is not told.
	name, url, method, status, expected, errorText, errorCode, check string
}

// k6 reads the points of k6's CSV and JSON output. A request is a point of
// http_req_duration: from the send to the last byte, without the time for a connection.
// It has failed when k6 says so (expected_response, which is what http_req_failed
// counts), else by its status.
type k6 struct {
	collector *collector
	// targets are the hosts that were asked.
	targets map[string]bool
	users   int
	// failedChecks counts checks that failed, firstCheck is the name of the first; checks all.
	checks, failedChecks int64
	firstCheck           string
	// byStatus counts requests that were judged by their status.
	byStatus, requests int64
}

func newK6(file string, o Options) *k6 {
	return &k6{collector: newCollector(file, o.Window), targets: map[string]bool{}}
}

// wanted tells the metrics that are read.
func wantedK6(metric string) bool {
	switch metric {
	case k6Duration, k6Dropped, k6Checks, k6Users:
		return true
	}
	return false
}

// take counts a point.
func (k *k6) take(line int, p *k6Point) error {
	switch p.metric {
	case k6Duration:
		return k.request(line, p)
	case k6Dropped:
		if !(p.value >= 0) || p.value > 1e12 {
			return wrong(k.collector.file, line, "%s %v: it must be at least 0", p.metric, p.value)
		}
		return k.collector.drop(line, p.at, int64(p.value))
	case k6Checks:
		k.checks++
		if p.value == 0 {
			if k.failedChecks++; k.firstCheck == "" {
				k.firstCheck = clean(p.check)
			}
		}
	case k6Users:
		if p.value >= 0 && p.value < 1e9 {
			k.users = max(k.users, int(p.value))
		}
	}
	return nil
}

func (k *k6) request(line int, p *k6Point) error {
	took := millis(p.value)
	if took < 0 {
		return wrong(k.collector.file, line, "%s %v: it must be milliseconds from 0 on", p.metric, p.value)
	}
	k.requests++
	name := p.name
	if name == "" {
		name = p.url
	}
	k.target(p.url)
	s := sample{name: pathOf(name), method: clean(p.method), end: p.at, took: took, outcome: okOutcome, bytes: -1}
	status, err := strconv.Atoi(p.status)
	if err != nil {
		status = 0
	}
	failed := p.expected == "false"
	if p.expected == "" {
		k.byStatus++
		failed = status < 100 || status >= 400
	}
	if failed {
		s.outcome, s.reason = k6Outcome(status, p.errorCode, p.errorText)
	}
	return k.collector.add(line, &s)
}

// k6Outcome says how a request failed: by its status, by k6's code of the error
// (https://grafana.com/docs/k6/latest/javascript-api/error-codes/), else by its text.
func k6Outcome(status int, code, text string) (outcome, reason string) {
	outcome, reason = failedOutcome(status, text)
	number, err := strconv.Atoi(code)
	if err != nil || status >= 100 {
		return outcome, reason
	}
	switch {
	case number == 1050 || number == 1211:
		outcome = string(load.Timeout)
	case number >= 1100 && number < 1200:
		outcome = string(load.DNS)
	case number == 1220:
		outcome = string(load.Reset)
	case number >= 1200 && number < 1300:
		outcome = string(load.Connect)
	case number >= 1300 && number < 1400:
		outcome = string(load.TLS)
	}
	if text == "" {
		reason = fmt.Sprintf("k6's error %d", number)
	}
	return outcome, reason
}

// pathOf makes the name of a case of a URL: its path, without host, query and user; other names
// stay.
func pathOf(name string) string {
	if !strings.Contains(name, "://") {
		return clean(name)
	}
	u, err := url.Parse(name)
	if err != nil || u.Host == "" {
		return redact(name)
	}
	if u.Path == "" {
		return "/"
	}
	return clean(u.Path)
}

// maxTargets bounds the hosts that are remembered.
const maxTargets = 4

// target remembers the host of a URL.
func (k *k6) target(text string) { rememberTarget(k.targets, text) }

func rememberTarget(targets map[string]bool, text string) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found || len(targets) >= maxTargets {
		return
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	host := rest[strings.LastIndex(rest, "@")+1:]
	port := host[strings.LastIndex(host, ":")+1:]
	if port != host && !strings.HasSuffix(port, "]") && strings.Trim(port, "0123456789") != "" {
		return // a password with a slash
	}
	targets[clean(scheme+"://"+host)] = true
}

// oneTarget is the host when there was only one.
func oneTarget(targets map[string]bool) string {
	if len(targets) != 1 {
		return ""
	}
	for one := range targets {
		return one
	}
	return ""
}

func (k *k6) finish() *Result {
	r := k.collector.finish("k6")
	r.Run.Users, r.Run.Target = k.users, oneTarget(k.targets)
	if k.failedChecks > 0 {
		r.note("%d of %d checks of the k6 script failed, first: %s", k.failedChecks, k.checks, k.firstCheck)
	}
	if k.byStatus > 0 {
		r.note("%d of %d requests do not say whether their answer was expected: a status from 400 on, or none, is a failure", k.byStatus, k.requests)
	}
	return r
}

// readK6CSV reads what k6 run --out csv=FILE writes.
func readK6CSV(file string, from *bufio.Reader, o Options) (*Result, error) {
	t, err := openTable(file, from, false)
	if err != nil {
		return nil, err
	}
	metric, stamp, value := t.column("metric_name"), t.column("timestamp"), t.column("metric_value")
	if metric < 0 || stamp < 0 || value < 0 {
		return nil, wrong(file, 1, "it has no columns metric_name, timestamp and metric_value: it is no CSV of k6's")
	}
	place := map[string]int{}
	for _, name := range []string{"name", "url", "method", "status", "expected_response", "error", "error_code", "check"} {
		place[name] = t.column(name)
	}
	k := newK6(file, o)
	seconds := false
	for {
		more, err := t.next(t.width())
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		p := k6Point{metric: t.field(metric)}
		if !wantedK6(p.metric) {
			continue
		}
		var known, whole bool
		if p.value, known, err = t.number(value, "metric_value"); err != nil || !known {
			return nil, orWrong(err, file, t.line, "metric_value: there is none")
		}
		if p.at, whole, err = k6Time(t.field(stamp)); err != nil {
			return nil, wrong(file, t.line, "timestamp: %v", err)
		}
		seconds = seconds || whole
		p.name, p.url, p.method, p.status = t.field(place["name"]), t.field(place["url"]), t.field(place["method"]), t.field(place["status"])
		p.expected, p.errorText, p.errorCode, p.check = t.field(place["expected_response"]), t.field(place["error"]), t.field(place["error_code"]), t.field(place["check"])
		if err := k.take(t.line, &p); err != nil {
			return nil, err
		}
	}
	r := k.finish()
	r.cutBy(t.cut, file)
	if seconds {
		r.note("times in %s are whole seconds (K6_CSV_TIME_FORMAT=rfc3339_nano writes finer ones): how long the run took, and so its rate, is known to a second", file)
	}
	return r, nil
}

// orWrong returns the error, or where it is nil one of a line.
func orWrong(err error, file string, line int, text string) error {
	if err != nil {
		return err
	}
	return wrong(file, line, "%s", text)
}

// cutBy says that the file ends in its midst.
func (r *Result) cutBy(cut bool, file string) {
	if cut {
		r.Cut = file + " ends in the midst of a line: the run was cut short"
	}
}

// k6Time reads the time of k6's CSV in any of its formats (K6_CSV_TIME_FORMAT): seconds, or milliseconds, microseconds or
// nanoseconds since 1970, or RFC 3339. whole tells that it is in whole seconds; half of
// one is added then, the middle of where it can be.
func k6Time(text string) (at time.Time, whole bool, err error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		if at, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return at, false, fmt.Errorf("%q is neither seconds since 1970 nor RFC 3339", clean(text))
		}
		return at, false, nil
	}
	// The year 2200 is 7.3e9 seconds after 1970, and 1990 0.6e12 milliseconds.
	switch size := math.Abs(float64(n)); {
	case size < 1e10:
		return time.Unix(n, 0).Add(time.Second / 2), true, nil
	case size < 1e13:
		return time.UnixMilli(n), false, nil
	case size < 1e16:
		return time.UnixMicro(n), false, nil
	}
	return time.Unix(0, n), false, nil
}

// readK6JSON reads what k6 run --out json=FILE writes: a line a point.
func readK6JSON(file string, from *bufio.Reader, o Options) (*Result, error) {
	k := newK6(file, o)
	in := &lines{file: file, from: from}
	quoted := [][]byte{[]byte(`"` + k6Duration + `"`), []byte(`"` + k6Dropped + `"`), []byte(`"` + k6Checks + `"`), []byte(`"` + k6Users + `"`)}
	cut := false
	for {
		line, err := in.next()
		if err != nil {
			return nil, err
		}
		if line == nil {
			break
		}
		if cut = in.cut && !json.Valid(line); cut {
			break
		}
		if !containsAny(line, quoted) {
			continue
		}
		p, point, err := k6Line(line)
		if err != nil {
			return nil, wrong(file, in.line, "it is no line of k6's JSON: %v", err)
		}
		if !point || !wantedK6(p.metric) {
			continue
		}
		if err := k.take(in.line, &p); err != nil {
			return nil, err
		}
	}
	r := k.finish()
	r.cutBy(cut, file)
	return r, nil
}

func containsAny(line []byte, words [][]byte) bool {
	for _, word := range words {
		if bytes.Contains(line, word) {
			return true
		}
	}
	return false
}

// k6Line reads a line of JSON; point tells that it is of a point, and not of a metric.
func k6Line(line []byte) (p k6Point, point bool, err error) {
	var one struct {
		Metric string `json:"metric"`
		Type   string `json:"type"`
		Data   struct {
			Time  time.Time         `json:"time"`
			Value json.Number       `json:"value"`
			Tags  map[string]string `json:"tags"`
		} `json:"data"`
	}
	kind := struct {
		Type string `json:"type"`
	}{}
	if err := json.Unmarshal(line, &kind); err != nil || kind.Type != "Point" {
		return p, false, err //nolint:wrapcheck // the caller says where
	}
	if err := json.Unmarshal(line, &one); err != nil {
		return p, false, err //nolint:wrapcheck // the caller says where
	}
	value, err := one.Data.Value.Float64()
	if err != nil {
		return p, false, fmt.Errorf("the value %q is no number", clean(one.Data.Value.String()))
	}
	tags := one.Data.Tags
	return k6Point{
		metric: one.Metric, at: one.Data.Time, value: value, name: tags["name"], url: tags["url"], method: tags["method"], status: tags["status"],
		expected: tags["expected_response"], errorText: tags["error"], errorCode: tags["error_code"], check: tags["check"],
	}, true, nil
}
