package blackbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"soakd/internal/probes"
	"soakd/internal/secret"
)

const (
	// maxHeader bounds the header of an answer, in bytes.
	maxHeader = 64 << 10
	// maxOwnHeaders bounds the header lines of an entry.
	maxOwnHeaders = 20
)

// request is what is sent over HTTP and how.
type request struct {
	method    string
	url       *url.URL
	header    http.Header
	body      string
	tokenFile string
	redirects int
	network   string
	tls       tlsSettings
}

// options are those of every kind that speaks HTTP.
func (r *request) options() options {
	return options{
		"header": {repeats: true, take: r.addHeader}, "token_file": text(&r.tokenFile),
		"insecure": flag(&r.tls.insecure), "ip": family(&r.network),
	}.with(r.tls.options())
}

func (r *request) addHeader(value string) error {
	name, content, found := strings.Cut(value, ":")
	content = strings.TrimSpace(content)
	if !found || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(content) {
		return errors.New("want 'Name: value'")
	}
	if r.header == nil {
		r.header = http.Header{}
	}
	if r.header.Add(name, content); len(r.header) > maxOwnHeaders {
		return fmt.Errorf("more than %d names", maxOwnHeaders)
	}
	return nil
}

var method = regexp.MustCompile(`^[A-Z]{3,10}$`)

// target takes [METHOD] URL from the start of words and returns the rest.
func (r *request) target(words []string) ([]string, error) {
	r.method = http.MethodGet
	if method.MatchString(words[0]) {
		r.method, words = words[0], words[1:]
	}
	if len(words) == 0 {
		return nil, errors.New("has no URL")
	}
	parsed, err := parseURL(unquote(words[0]))
	r.url = parsed
	return words[1:], err
}

// parseURL never gives the URL in an error: it could hold a password.
func parseURL(text string) (*url.URL, error) {
	parsed, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("what stands behind the = is not a URL; want http://host:port/path")
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return nil, errors.New("the URL must start with http:// or https://")
	case parsed.Hostname() == "":
		return nil, errors.New("the URL has no host; want http://host:port/path")
	case parsed.Fragment != "":
		return nil, errors.New("the URL must not hold a fragment (#...)")
	}
	if port := parsed.Port(); port != "" {
		if _, err := address(parsed.Host); err != nil {
			return nil, errors.New("the port of the URL must be 1 to 65535")
		}
	}
	return parsed, nil
}

// check finds what options alone cannot see, and reads the token for a first time.
func (r *request) check() error {
	if r.url.Scheme != "https" && r.tls.used() {
		return errors.New("options ca, cert, key, insecure, server_name: they need an https URL")
	}
	if r.tokenFile != "" {
		if r.url.User != nil || r.header.Get("Authorization") != "" {
			return errors.New("option token_file: there is another authorization already")
		}
		if _, err := r.token(); err != nil {
			return fmt.Errorf("option token_file: %w", err)
		}
	}
	return r.tls.check()
}

// token reads the bearer token, so that one that is renewed is followed.
func (r *request) token() (secret.String, error) {
	token, err := secret.ReadFile(r.tokenFile)
	if err == nil && !httpguts.ValidHeaderFieldValue(token.Value()) {
		return secret.String{}, fmt.Errorf("%s holds characters that a header cannot carry", r.tokenFile)
	}
	return token, err
}

// hidden are the parts that no error may hold. The token is never part of one.
func (r *request) hidden() []secret.String {
	password, _ := r.url.User.Password()
	hidden := []secret.String{secret.New(password), secret.New(r.url.RawQuery), secret.New(r.body)}
	for _, values := range r.url.Query() {
		for _, value := range values {
			hidden = append(hidden, secret.New(value))
		}
	}
	for _, values := range r.header {
		for _, value := range values {
			hidden = append(hidden, secret.New(value))
		}
	}
	return hidden
}

// exchange is one request with its answer, which the caller reads and finishes.
type exchange struct {
	way      *way
	response *http.Response
	// client's transport belongs to this exchange alone.
	client *http.Client

	mu sync.Mutex
	// asked is when the latest request could be sent; cost is that of those before.
	asked     time.Time
	cost      probes.Cost
	sent      time.Time
	firstByte time.Time
	redirects int
}

// send sends r and returns once the header of the answer is there. The exchange
// must be finished whatever the error.
func (r *request) send(ctx context.Context) (*exchange, error) {
	x := &exchange{way: newWay(ctx, r.network)}
	x.client = &http.Client{Transport: r.transport(x.way), CheckRedirect: x.follow(r.redirects)}
	message, err := r.message(httptrace.WithClientTrace(ctx, x.trace()))
	if err != nil {
		return x, err
	}
	x.response, err = x.client.Do(message) //nolint:bodyclose // finish does
	if urlErr := (*url.Error)(nil); errors.As(err, &urlErr) {
		err = urlErr.Err // without the whole URL
	}
	return x, answerError(ctx, err)
}

// answerError gives errors of an answer their reason where the packages of the
// standard library have no type for them: all that is left is not HTTP.
func answerError(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		// The cut of the connection may be told before its cause.
		return probes.Because(probes.ReasonOf(ctx.Err()), err)
	case probes.ReasonOf(err) != probes.ReasonOther:
		return err
	}
	return probes.Because(probes.ReasonProtocol, err)
}

func (r *request) transport(w *way) *http.Transport {
	return &http.Transport{
		// No proxy, whatever the environment names: soakd talks to what it was
		// configured to talk to, and to nothing in between.
		Proxy:                  nil,
		DisableCompression:     true, // the bytes on the way are counted
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: maxHeader,
		DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
			conn, err := w.connect(address)
			if err != nil {
				return nil, err
			}
			return &listenLater{Conn: conn, ctx: w.ctx, written: make(chan struct{})}, nil
		},
		DialTLSContext: func(_ context.Context, _, address string) (net.Conn, error) {
			conn, err := w.connect(address)
			if err != nil {
				return nil, err
			}
			return w.secure(conn, &r.tls, address, "h2", "http/1.1")
		},
	}
}

func (r *request) message(ctx context.Context) (*http.Request, error) {
	message, err := http.NewRequestWithContext(ctx, r.method, r.url.String(), strings.NewReader(r.body))
	if err != nil {
		return nil, errors.New("cannot make a request of the URL")
	}
	message.Header.Set("User-Agent", "soakd")
	for name, values := range r.header {
		message.Header[name] = slices.Clone(values)
	}
	message.Host = r.header.Get("Host")
	if r.tokenFile != "" {
		token, err := r.token()
		if err != nil {
			return nil, probes.Because(probes.ReasonAuth, err)
		}
		message.Header.Set("Authorization", "Bearer "+token.Value())
	}
	return message, nil
}

// trace takes the times that only the transport knows.
func (x *exchange) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.count()
			x.asked = time.Now()
		},
		WroteRequest: func(httptrace.WroteRequestInfo) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.sent = time.Now()
		},
		GotFirstResponseByte: func() {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.firstByte = time.Now()
			if !x.sent.IsZero() { // an answer may come before the request is out
				x.way.spent(phaseFirstByte, x.sent)
			}
		},
	}
}

// follow allows so many redirects, to the same scheme, host and port only.
func (x *exchange) follow(most int) func(*http.Request, []*http.Request) error {
	return func(next *http.Request, via []*http.Request) error {
		if len(via) > most {
			return http.ErrUseLastResponse
		}
		if from := via[0].URL; next.URL.Scheme != from.Scheme || hostPort(next.URL) != hostPort(from) {
			return probes.Because(probes.ReasonCheck, errors.New("the server redirects to another host, where soakd does not go"))
		}
		x.redirects = len(via)
		return nil
	}
}

// hostPort is the host of u, which heeds no case, with its port, which the scheme
// gives where it is left out.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// transferred takes the time from the first byte to now.
func (x *exchange) transferred() {
	x.mu.Lock()
	since := x.firstByte
	x.mu.Unlock()
	if !since.IsZero() {
		x.way.spent(phaseTransfer, since)
	}
}

// count adds the latest request, which has ended, to the cost.
func (x *exchange) count() {
	if !x.asked.IsZero() {
		x.cost.Add(x.asked)
	}
}

// finish closes all that the exchange has opened and hands its cost on: each
// request that was sent, redirects included, without the way there.
func (x *exchange) finish(cost *probes.Cost) {
	x.mu.Lock()
	x.count()
	*cost = x.cost
	x.mu.Unlock()
	if x.response != nil {
		_ = x.response.Body.Close()
	}
	x.way.close()
	x.client.CloseIdleConnections()
}
