package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
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

// probe reads one target. Poll is not called concurrently, so that its state
// needs no lock.
type probe struct {
	target  *url.URL
	token   secret.String
	client  *http.Client
	groups  []group
	names   map[string]bool
	workers workers

	descs              probes.Descs
	restarts, observed *probes.Desc
}

// group is one series of soakd and, in order, where its value may stand.
type group struct {
	desc    *probes.Desc
	labels  []string
	sources []alias
}

func newProbe(target *url.URL, token secret.String, own []alias) *probe {
	p := &probe{target: target, token: token}
	p.groups = grouped(mapped(&p.descs), append(own[:len(own):len(own)], knownAliases()...))
	p.names = exposition.NamesOf(selectors(p.groups))
	p.restarts = p.descs.Counter("soakd_api_restarts_total", "Restarts of the target seen since soakd started; of several workers, when the last old one is gone.")
	p.observed = p.descs.Gauge("soakd_api_observed_workers", "Different processes that answered in the last 12 polls, 36 where several have done so for long; above 1, the counters of this probe are absent.")
	p.client = &http.Client{
		Transport: &http.Transport{
			// No proxy, whatever the environment names: soakd talks to what it was
			// configured to talk to, and to nothing in between.
			Proxy: nil,
			// A new connection for each poll: a kept one would stay with one worker
			// of several, which then looks like the whole target.
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return p
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

func (p *probe) Name() string             { return Name }
func (p *probe) Describe() []*probes.Desc { return p.descs }
func (p *probe) Close()                   { p.client.CloseIdleConnections() }

// Poll reads the page once.
func (p *probe) Poll(ctx context.Context) (probes.Reading, error) {
	page, now, err := p.fetch(ctx)
	if err != nil {
		return probes.Reading{}, probes.Brief(fmt.Errorf("read the target's metrics: %w", err), p.token, secret.New(p.target.RawQuery))
	}
	reading, err := p.read(page, now)
	return reading, probes.Brief(err, p.token)
}

// fetch returns the page and the target's time.
func (p *probe) fetch(ctx context.Context) (exposition.Page, time.Time, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.target.String(), nil)
	if err != nil {
		return exposition.Page{}, time.Time{}, errors.New("cannot make a request of the URL")
	}
	request.Header.Set("Accept", exposition.Accept())
	request.Header.Set("User-Agent", "soakd")
	if p.token.IsSet() {
		request.Header.Set("Authorization", "Bearer "+p.token.Value())
	}
	response, err := p.client.Do(request)
	if err != nil {
		// Without the url.Error around it, which holds the whole URL.
		if urlErr := (*url.Error)(nil); errors.As(err, &urlErr) {
			err = urlErr.Err
		}
		return exposition.Page{}, time.Time{}, err
	}
	defer response.Body.Close() //nolint:errcheck // read only
	if err := acceptable(response); err != nil {
		return exposition.Page{}, time.Time{}, err
	}
	page, err := exposition.Read(response.Header.Get("Content-Type"), response.Body, p.names)
	return page, targetTime(response), err
}

// acceptable refuses an answer that cannot be a page.
func acceptable(response *http.Response) error {
	switch code := response.StatusCode; {
	case code >= 300 && code < 400:
		return fmt.Errorf("answered %d, a redirect; give the URL that it leads to", code)
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return fmt.Errorf("answered %d; see SOAKD_API_METRICS_TOKEN", code)
	case code != http.StatusOK:
		return fmt.Errorf("answered %d, not 200", code)
	}
	return nil
}

// targetTime is the target's clock as its Date header tells it, else soakd's.
func targetTime(response *http.Response) time.Time {
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		return date
	}
	return time.Now()
}

// read takes what soakd knows from the page.
func (p *probe) read(page exposition.Page, now time.Time) (probes.Reading, error) {
	var reading probes.Reading
	var errs []error
	several := false
	for _, g := range p.groups {
		if g.desc.Name != startTime {
			continue
		}
		if start, ok, err := g.value(page); ok && err == nil {
			several = p.addProcess(&reading, start, now)
		}
	}
	for _, g := range p.groups {
		value, ok, err := g.value(page)
		if err != nil {
			errs = append(errs, fmt.Errorf("read %s: %w", g.desc.Name, err))
			continue
		}
		if ok && !(several && g.desc.Type == probes.Counter) {
			reading.Add(g.desc, value, g.labels...)
		}
	}
	if len(reading.Samples) == 0 && len(errs) == 0 {
		errs = append(errs, errNothingKnown)
	}
	return reading, errors.Join(errs...)
}

// addProcess adds what the start time tells and reports whether several
// processes answer in turn.
func (p *probe) addProcess(reading *probes.Reading, start float64, now time.Time) bool {
	observed := p.workers.observe(start, now)
	reading.Add(p.restarts, float64(p.workers.restarts))
	reading.Add(p.observed, float64(observed))
	return observed > 1
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
