package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"soakd/internal/probes"
	"soakd/internal/probes/exposition"
	"soakd/internal/secret"
)

// maxHeader bounds the answer's header, in bytes.
const maxHeader = 64 << 10

// errNothingKnown is what a page without one known name fails with: silence
// would look like a target without load.
var errNothingKnown = errors.New("none of the metric names that soakd knows is there; map yours with SOAKD_API_METRICS_ALIASES")

// pageSource reads the /metrics page of one replica.
//
// Where several workers share the port there are two kinds of page. Either the
// page is of the worker that answers: then counters are left out and gauges are
// partial; see [workers]. Or it is of all of them, as in prometheus_client's
// multi-process mode (PROMETHEUS_MULTIPROC_DIR): it has no process_* series, its
// counters are sums, and of a gauge that has a series per worker (label pid) the
// sum is taken. That is right for multiprocess_mode="liveall"; the default "all"
// keeps the series of workers that are gone, which nothing on the page tells.
type pageSource struct {
	url    *url.URL
	client *http.Client
	token  *token
	known  *vocabulary
	// workers are those that answered.
	workers workers
}

// vocabulary is what soakd looks for on a page and how it calls that.
type vocabulary struct {
	groups             []group
	names              map[string]bool
	restarts, observed *probes.Desc
	versions           versions
}

// group is one series of soakd and, in order, where its value may stand.
type group struct {
	desc    *probes.Desc
	labels  []string
	sources []alias
}

// grouped gathers the aliases by soakd's series, in their order.
func grouped(descs map[string]*probes.Desc, aliases []alias) []group {
	var groups []group
	index := map[string]int{}
	for _, a := range aliases {
		key := a.metric + "\xff" + strings.Join(a.labels, "\xff")
		at, ok := index[key]
		if !ok {
			at = len(groups)
			index[key] = at
			groups = append(groups, group{desc: descs[a.metric], labels: a.labels})
		}
		groups[at].sources = append(groups[at].sources, a)
	}
	return groups
}

// way is how pages are reached; the zero value is that of the system.
type way struct {
	resolver *net.Resolver
	roots    *x509.CertPool
}

// newPageSource reads the page at target; address (host:port), when it is not
// "", takes the place of the host in connecting, and in nothing else.
func newPageSource(target *url.URL, address string, by way, credential *token, known *vocabulary) *pageSource {
	dialer := &net.Dialer{Resolver: by.resolver}
	dial := dialer.DialContext
	if address != "" {
		dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		}
	}
	client := &http.Client{
		Transport: &http.Transport{
			// No proxy, whatever the environment names: soakd talks to what it was
			// configured to talk to, and to nothing in between.
			Proxy:       nil,
			DialContext: dial,
			// A new connection for each poll: a kept one would stay with one worker
			// of several, which then looks like the whole target.
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: maxHeader,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, ServerName: target.Hostname(), RootCAs: by.roots},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &pageSource{url: target, client: client, token: credential, known: known}
}

func (s *pageSource) close() { s.client.CloseIdleConnections() }

// read reads the page once.
func (s *pageSource) read(ctx context.Context) ([]value, probes.Cost, error) {
	page, now, cost, err := s.fetch(ctx)
	if err != nil {
		return nil, cost, s.brief(fmt.Errorf("read the target's metrics: %w", err))
	}
	values, err := s.values(page, now)
	return values, cost, s.brief(err)
}

// brief hides the token and the query, as a whole and value by value: an answer
// may repeat either.
func (s *pageSource) brief(err error) error {
	hidden := []secret.String{s.token.current(), secret.New(s.url.RawQuery)}
	for _, values := range s.url.Query() {
		for _, value := range values {
			hidden = append(hidden, secret.New(value))
		}
	}
	return probes.Brief(err, hidden...)
}

// fetch returns the page and the target's time.
func (s *pageSource) fetch(ctx context.Context) (page exposition.Page, now time.Time, cost probes.Cost, err error) {
	var connected atomic.Pointer[time.Time] // when the request could be sent
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		start := time.Now()
		connected.Store(&start)
	}})
	defer func() {
		if start := connected.Load(); start != nil {
			cost.Add(*start)
		}
	}()
	response, err := s.request(ctx)
	if err != nil {
		return exposition.Page{}, time.Time{}, cost, becauseProtocol(err)
	}
	defer response.Body.Close() //nolint:errcheck // read only
	if err := acceptable(response.StatusCode); err != nil {
		return exposition.Page{}, time.Time{}, cost, err
	}
	page, err = exposition.Read(response.Header.Get("Content-Type"), response.Body, s.known.names)
	return page, targetTime(response), cost, becauseProtocol(err)
}

// becauseProtocol gives the reason of an answer that cannot be read, unless err
// has another: what neither the network nor a deadline explains is the answer.
func becauseProtocol(err error) error {
	if probes.ReasonOf(err) == probes.ReasonOther {
		return probes.Because(probes.ReasonProtocol, err)
	}
	return err
}

func (s *pageSource) request(ctx context.Context) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url.String(), nil)
	if err != nil {
		return nil, errors.New("cannot make a request of the URL")
	}
	request.Header.Set("Accept", exposition.Accept())
	request.Header.Set("User-Agent", "soakd")
	if credential := s.token.current(); credential.IsSet() {
		request.Header.Set("Authorization", "Bearer "+credential.Value())
	}
	response, err := s.client.Do(request)
	// Without the url.Error around it, which holds the whole URL.
	if urlErr := (*url.Error)(nil); errors.As(err, &urlErr) {
		err = urlErr.Err
	}
	return response, err
}

// acceptable refuses an answer that cannot be a page.
func acceptable(code int) error {
	refused := func(reason probes.Reason, format string) error {
		return probes.Because(reason, fmt.Errorf(format, code))
	}
	switch code {
	case http.StatusOK:
		return nil
	case http.StatusUnauthorized:
		return refused(probes.ReasonAuth, "answered %d; see SOAKD_API_METRICS_TOKEN")
	case http.StatusForbidden:
		return refused(probes.ReasonPermission, "answered %d; see SOAKD_API_METRICS_TOKEN")
	case http.StatusNotFound, http.StatusGone:
		return refused(probes.ReasonMissing, "answered %d, not 200; see SOAKD_API_METRICS_URL")
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return refused(probes.ReasonUnavailable, "answered %d, not 200")
	}
	if code >= 300 && code < 400 {
		return refused(probes.ReasonProtocol, "answered %d, a redirect; give the URL that it leads to")
	}
	return refused(probes.ReasonProtocol, "answered %d, not 200")
}

// targetTime is the target's clock as its Date header tells it, else soakd's.
func targetTime(response *http.Response) time.Time {
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		return date
	}
	return time.Now()
}

// values takes what soakd knows from the page.
func (s *pageSource) values(page exposition.Page, now time.Time) ([]value, error) {
	var values []value
	var errs []error
	several := false
	if start := s.known.number(startTime, page); !math.IsNaN(start) {
		s.workers.spend(start, s.known.number(cpuSeconds, page))
		observed := s.workers.observe(start, now)
		several = observed > 1
		values = append(values,
			value{desc: s.known.restarts, amount: float64(s.workers.restarts)},
			value{desc: s.known.observed, amount: float64(observed)})
	}
	for _, g := range s.known.groups {
		amount, ok, err := g.value(page)
		if err != nil {
			errs = append(errs, probes.Because(probes.ReasonProtocol, fmt.Errorf("read %s: %w", g.desc.Name, err)))
			continue
		}
		if ok && !(several && g.desc.Type == probes.Counter) {
			values = append(values, value{desc: g.desc, labels: g.labels, amount: amount, partial: several})
		}
	}
	if len(values) == 0 && len(errs) == 0 {
		errs = append(errs, probes.Because(probes.ReasonMissing, errNothingKnown))
	}
	if version, ok := s.known.versions.value(page); ok {
		values = append(values, version)
	}
	return values, errors.Join(errs...)
}

// number is what the page has of a metric without labels, NaN when that is nothing.
func (v *vocabulary) number(metric string, page exposition.Page) float64 {
	for _, g := range v.groups {
		if g.desc.Name != metric {
			continue
		}
		if number, ok, err := g.value(page); ok && err == nil {
			return number
		}
	}
	return math.NaN()
}

// value returns the value of the first source that the page has.
func (g group) value(page exposition.Page) (float64, bool, error) {
	for _, source := range g.sources {
		if value, ok, err := source.value(page); ok || err != nil {
			return value, ok, err
		}
	}
	return 0, false, nil
}
