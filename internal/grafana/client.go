// Package grafana writes what soakd finds and sees on the time axis of Grafana's
// dashboards, over its annotation API. [Client] makes single calls; [Writer] keeps
// what is to be written and writes it when Grafana can be reached.
package grafana

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"soakd/internal/secret"
)

// ClientConfig says which Grafana is written to.
type ClientConfig struct {
	// URL is Grafana's, as [ParseURL] takes it. Nothing else is ever sent to.
	URL string
	// Token is that of a service account. It needs annotations:create, annotations:write
	// and annotations:read on annotations:type:organization, which the role Editor has.
	Token secret.String
	// DashboardUID ties the annotations to one dashboard; "" shows them on every
	// dashboard that asks for their tags.
	DashboardUID string
	// Roots are the authorities that may have signed Grafana's certificate, nil for the
	// system's.
	Roots *x509.CertPool
	// Timeout bounds each call; 0 means 10 s.
	Timeout time.Duration
}

// Annotation is one moment or stretch of time, as Grafana keeps it.
type Annotation struct {
	// Time is the moment or the start. Zero leaves it as it is where there is one already.
	Time time.Time
	// End is zero for a moment, and leaves what there is as it is.
	End time.Time
	// Tags, when nil, leave those that there are.
	Tags []string
	// Text is HTML of which Grafana shows the harmless part.
	Text string
}

// Client calls Grafana's HTTP API. It may be used from any goroutine.
type Client struct {
	base      *url.URL
	token     func() string // not the text itself, so that no way of printing shows it
	dashboard string
	http      *http.Client
}

const (
	defaultTimeout = 10 * time.Second
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 1 << 20
)

// ParseURL reads the URL of a Grafana: http or https, a host, perhaps a path under which
// it is served. A user and password in it are refused. No error repeats the text: without
// a scheme, as in user:password@host, nothing tells that there is a password in it.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("it cannot be read as a URL: give one such as https://grafana.example.org")
	case u.User != nil:
		return nil, errors.New("it holds a user or a password: give the token of a service account in SOAKD_GRAFANA_TOKEN instead")
	case (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return nil, errors.New("it must be http://host:port or https://host, perhaps with a path")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("it must end before ? and #: give the address of Grafana itself, such as https://grafana.example.org/grafana")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

// NewClient returns a client, or an error that says what is wrong with cfg. Nothing is sent.
func NewClient(cfg ClientConfig) (*Client, error) {
	base, err := ParseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	if !cfg.Token.IsSet() {
		return nil, errors.New("no token: annotations need that of a service account")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	transport := &http.Transport{ // no Proxy: the environment's are never used
		TLSClientConfig:     &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: cfg.Timeout,
		MaxIdleConns:        1,
		IdleConnTimeout:     30 * time.Second,
	}
	return &Client{
		base: base, token: cfg.Token.Value, dashboard: cfg.DashboardUID,
		http: &http.Client{
			Transport: transport, Timeout: cfg.Timeout,
			// The token goes to no other address, and a redirected POST would become a GET.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close closes the connections that are idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Host is that of Grafana, for people.
func (c *Client) Host() string { return c.base.Host }

// body is an annotation in the API's JSON. Times are milliseconds since 1970; 0 is left out.
type body struct {
	ID           int64    `json:"id,omitempty"`
	DashboardUID string   `json:"dashboardUID,omitempty"`
	Time         int64    `json:"time,omitempty"`
	TimeEnd      int64    `json:"timeEnd,omitempty"`
	Tags         []string `json:"tags,omitempty"`
	Text         string   `json:"text"`
}

func (c *Client) bodyOf(a *Annotation) body {
	b := body{Tags: a.Tags, Text: a.Text}
	if !a.Time.IsZero() {
		b.Time = a.Time.UnixMilli()
	}
	if !a.End.IsZero() {
		b.TimeEnd = a.End.UnixMilli()
	}
	return b
}

// Add writes an annotation and returns its id.
func (c *Client) Add(ctx context.Context, a *Annotation) (id int64, err error) {
	sent := c.bodyOf(a)
	sent.DashboardUID = c.dashboard
	var answer struct {
		ID int64 `json:"id"`
	}
	if err := c.call(ctx, http.MethodPost, "/api/annotations", nil, sent, &answer); err != nil {
		return 0, fmt.Errorf("add an annotation: %w", err)
	}
	if answer.ID <= 0 {
		return 0, &MisfitError{"add an annotation: the answer has no id: SOAKD_GRAFANA_URL must be Grafana's own address"}
	}
	return answer.ID, nil
}

// Change brings an annotation up to date. What was a stretch of time stays one.
func (c *Client) Change(ctx context.Context, id int64, a *Annotation) error {
	err := c.call(ctx, http.MethodPatch, "/api/annotations/"+strconv.FormatInt(id, 10), nil, c.bodyOf(a), nil)
	if err != nil {
		return fmt.Errorf("change an annotation: %w", err)
	}
	return nil
}

// Find returns the id of the oldest annotation with all of the tags, 0 when there is none.
func (c *Client) Find(ctx context.Context, tags ...string) (id int64, err error) {
	query := url.Values{"tags": tags, "limit": {"10"}, "type": {"annotation"}}
	if c.dashboard != "" {
		query.Set("dashboardUID", c.dashboard)
	}
	var found []body
	if err := c.call(ctx, http.MethodGet, "/api/annotations", query, nil, &found); err != nil {
		return 0, fmt.Errorf("look for an annotation: %w", err)
	}
	for _, one := range found {
		// An older Grafana takes no notice of what it does not know.
		has := !slices.ContainsFunc(tags, func(tag string) bool { return !slices.Contains(one.Tags, tag) })
		if has && one.ID > 0 && (id == 0 || one.ID < id) {
			id = one.ID
		}
	}
	return id, nil
}

// permissions are what the writer does.
//
//nolint:gochecknoglobals // never changed
var permissions = []string{"annotations:create", "annotations:write", "annotations:read"}

// Check asks whether Grafana answers and the token may write annotations. It changes
// nothing. sure is false when this Grafana does not tell what the token may do.
func (c *Client) Check(ctx context.Context) (sure bool, err error) {
	if err := c.call(ctx, http.MethodGet, "/api/annotations", url.Values{"limit": {"1"}}, nil, nil); err != nil {
		return false, err
	}
	var granted map[string][]string
	err = c.call(ctx, http.MethodGet, "/api/access-control/user/permissions", nil, nil, &granted)
	var answer *AnswerError
	if errors.As(err, &answer) && (answer.Status == http.StatusNotFound || answer.Status == http.StatusForbidden) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var missing []string
	for _, action := range permissions {
		if !c.covers(granted[action]) {
			missing = append(missing, action)
		}
	}
	if len(missing) > 0 {
		return true, &MisfitError{fmt.Sprintf("the token may not do %s: give its service account the role Editor, or these permissions on annotations:type:organization", strings.Join(missing, ", "))}
	}
	return true, nil
}

// covers reports whether one of the scopes of a permission holds for soakd's annotations.
// Those of a dashboard also follow from permissions on its folder, which is not looked at.
func (c *Client) covers(scopes []string) bool {
	return slices.ContainsFunc(scopes, func(scope string) bool {
		switch scope {
		case "*", "annotations:*", "annotations:type:*", "annotations:type:organization":
			return c.dashboard == "" || scope != "annotations:type:organization"
		}
		return c.dashboard != ""
	})
}

// Reached reports whether what failed was told by Grafana, or what answers in its place.
func Reached(err error) bool {
	var answer *AnswerError
	var other *MisfitError
	return errors.As(err, &answer) || errors.As(err, &other)
}

// MisfitError is an answer that came, and is not what annotations need.
type MisfitError struct{ text string }

func (e *MisfitError) Error() string { return e.text }

// AnswerError is an answer that is no success.
type AnswerError struct {
	Status int
	// After is how long Grafana asks to be left alone, 0 when it does not say.
	After time.Duration
	// Where is what a redirect points to: scheme, host and path, without user and query.
	Where string
	// Said is the start of the message, as Grafana wrote it; [AnswerError.Error] quotes it.
	Said string
}

func (e *AnswerError) Error() string {
	text := "Grafana answered " + strconv.Itoa(e.Status)
	if e.Said != "" {
		text += fmt.Sprintf(" (%q)", e.Said)
	}
	switch {
	case e.Status == http.StatusUnauthorized:
		text += ": the token is not known or has expired: give that of a service account in SOAKD_GRAFANA_TOKEN"
	case e.Status == http.StatusForbidden:
		text += ": the token may not do this: give its service account the role Editor, or annotations:create, annotations:write and annotations:read on annotations:type:organization"
	case e.Status == http.StatusNotFound:
		text += ": nothing is there: SOAKD_GRAFANA_URL must be Grafana's own address with its path, and SOAKD_GRAFANA_DASHBOARD_UID a dashboard's"
	case e.Status >= 300 && e.Status < 400:
		text += fmt.Sprintf(": it points to %q, which is not followed: give the address itself in SOAKD_GRAFANA_URL", e.Where)
	}
	return text
}

// call makes one call and reads its answer into answer, unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, sent, answer any) error {
	var content io.Reader = http.NoBody
	if sent != nil {
		text, err := json.Marshal(sent)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	u := *c.base
	u.Path += path
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, u.String(), content)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+c.token())
	request.Header.Set("Accept", "application/json")
	if sent != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return withoutURL(err)
	}
	defer response.Body.Close() //nolint:errcheck // read as far as it counts
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if response.StatusCode/100 != 2 {
		return answerError(response, text)
	}
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return &MisfitError{fmt.Sprintf("the answer is not that of Grafana's API: %v", err)}
	}
	return nil
}

// withoutURL leaves out the URL, whose query is of no use to people.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// maxSaid bounds what is repeated of a message, in bytes.
const maxSaid = 200

func answerError(response *http.Response, text []byte) *AnswerError {
	e := &AnswerError{Status: response.StatusCode, After: retryAfter(response.Header.Get("Retry-After"), time.Now())}
	if at, err := response.Location(); err == nil {
		e.Where = at.Scheme + "://" + at.Host + at.Path
	}
	var problem struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &problem) == nil {
		e.Said = problem.Message[:min(len(problem.Message), maxSaid)]
	}
	return e
}

// maxAfter bounds what Grafana may ask for.
const maxAfter = 10 * time.Minute

// retryAfter reads the header: seconds or a date (RFC 9110, 10.2.3).
func retryAfter(text string, now time.Time) time.Duration {
	after := time.Duration(0)
	if seconds, err := strconv.Atoi(text); err == nil {
		after = time.Duration(min(max(seconds, 0), int(maxAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		after = at.Sub(now)
	}
	return min(max(after, 0), maxAfter)
}
