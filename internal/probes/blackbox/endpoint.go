package blackbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"soakd/internal/probes"
)

const (
	// maxBody bounds the body of an answer, in bytes.
	maxBody = 1 << 20
	// maxRedirects bounds the option redirects.
	maxRedirects = 10
)

// endpointProbe sends one request and checks the answer.
type endpointProbe struct {
	request  request
	statuses []statusRange
	matches  *regexp.Regexp
	absent   *regexp.Regexp

	label                                                     string
	times                                                     *probes.Times
	phase, response, status, body, version, redirects, expiry *probes.Desc
}

func parseEndpoint(e entry) (spec, error) {
	p := &endpointProbe{statuses: []statusRange{{200, 299}}}
	var s spec
	known := options{
		"status": {take: func(value string) (err error) {
			p.statuses, err = parseStatuses(value)
			return err
		}},
		"matches": pattern(&p.matches), "absent": pattern(&p.absent), "body": text(&p.request.body),
		"redirects": number(&p.request.redirects, 0, maxRedirects), "timeout": limit(&s.timeout),
	}.with(p.request.options())
	words, err := p.request.target(e.words)
	if err != nil {
		return s, err
	}
	if err := errors.Join(known.parse(words), p.request.check()); err != nil {
		return s, err
	}
	s.hidden, s.open = p.request.hidden(), p.open
	return s, nil
}

func (p *endpointProbe) open(descs *probes.Descs, label string) poll {
	p.label = label
	p.times = probes.NewTimes()
	p.phase = descs.Gauge("soakd_endpoint_phase_seconds", "Time of each phase of the latest poll, redirects included: dns, connect, tls, first_byte (from the end of the request), transfer.", "probe", "phase")
	p.response = descs.Histogram("soakd_endpoint_response_seconds", "Time from the start of the poll to the end of the answer, of all polls that got a whole one, whatever its status.", "probe")
	p.status = descs.Gauge("soakd_endpoint_status_code", "HTTP status of the latest answer.", "probe")
	p.body = descs.Gauge("soakd_endpoint_body_bytes", "Size of the body of the latest answer, as it was sent.", "probe")
	p.version = descs.Gauge("soakd_endpoint_http_version", "HTTP version of the latest answer: 1, 1.1 or 2.", "probe")
	p.redirects = descs.Gauge("soakd_endpoint_redirects", "Redirects that the latest poll followed.", "probe")
	p.expiry = descs.Gauge("soakd_endpoint_certificate_expiry_timestamp_seconds", "When the first of the certificates that the server shows expires, in seconds since 1970; absent without TLS.", "probe")
	return p.poll
}

func (p *endpointProbe) poll(ctx context.Context, reading *probes.Reading) error {
	start := time.Now()
	x, err := p.request.send(ctx)
	defer x.finish(&reading.Cost)
	if err == nil {
		err = p.read(ctx, x, reading, start)
	}
	x.way.add(reading, p.phase, p.label)
	if state := x.way.certificates(); state != nil {
		reading.Add(p.expiry, float64(earliest(state.PeerCertificates).Unix()), p.label)
	}
	return err
}

// read reads the answer and judges it.
func (p *endpointProbe) read(ctx context.Context, x *exchange, reading *probes.Reading, start time.Time) error {
	reading.Add(p.status, float64(x.response.StatusCode), p.label)
	reading.Add(p.version, httpVersion(x.response), p.label)
	reading.Add(p.redirects, float64(x.redirects), p.label)
	body, err := readBody(x.response.Body)
	if err != nil {
		return fmt.Errorf("read the body: %w", answerError(ctx, err))
	}
	x.transferred()
	p.times.Observe(time.Since(start))
	reading.AddTimes(p.response, p.times, p.label)
	reading.Add(p.body, float64(len(body)), p.label)
	return errors.Join(judgeStatus(x.response.StatusCode, p.statuses), p.judgeBody(body))
}

// readBody reads a body of at most maxBody bytes.
func readBody(r io.Reader) ([]byte, error) {
	var body bytes.Buffer
	if _, err := io.Copy(&body, io.LimitReader(r, maxBody+1)); err != nil {
		return nil, err
	}
	if body.Len() > maxBody {
		return nil, probes.Because(probes.ReasonCheck, fmt.Errorf("it is larger than %d bytes", maxBody))
	}
	return body.Bytes(), nil
}

func httpVersion(response *http.Response) float64 {
	return float64(response.ProtoMajor) + float64(response.ProtoMinor)/10
}

// judgeBody tells which pattern failed, not with what: a body may hold anything.
func (p *endpointProbe) judgeBody(body []byte) error {
	var errs []error
	if p.matches != nil && !p.matches.Match(body) {
		errs = append(errs, probes.Because(probes.ReasonCheck, errors.New("the body does not match option matches")))
	}
	if p.absent != nil && p.absent.Match(body) {
		errs = append(errs, probes.Because(probes.ReasonCheck, errors.New("the body matches option absent")))
	}
	return errors.Join(errs...)
}

// statusRange is a range of statuses, its ends included.
type statusRange struct{ low, high int }

// parseStatuses reads 200-299,401.
func parseStatuses(text string) ([]statusRange, error) {
	var ranges []statusRange
	for _, part := range strings.Split(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		low, okLow := digits(from)
		high, okHigh := digits(to)
		if !okLow || !okHigh || low < 100 || high > 599 || low > high {
			return nil, fmt.Errorf("%q is not a status or a range of 100 to 599, such as 200-299,401", part)
		}
		ranges = append(ranges, statusRange{low, high})
	}
	return ranges, nil
}

// judgeStatus returns nil for a status that is wanted.
func judgeStatus(status int, wanted []statusRange) error {
	for _, r := range wanted {
		if r.low <= status && status <= r.high {
			return nil
		}
	}
	err := fmt.Errorf("answered %d", status)
	switch status {
	case http.StatusUnauthorized:
		return probes.Because(probes.ReasonAuth, err)
	case http.StatusForbidden:
		return probes.Because(probes.ReasonPermission, err)
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return probes.Because(probes.ReasonUnavailable, err)
	}
	if status >= 300 && status < 400 {
		err = fmt.Errorf("answered %d, a redirect; give the URL that it leads to, or option redirects", status)
	}
	return probes.Because(probes.ReasonCheck, err)
}
