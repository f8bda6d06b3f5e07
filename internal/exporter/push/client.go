package push

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ParseURL reads the URL of a destination: http or https, a host, perhaps a path. A user
// and password in it are refused. No error repeats the text: without a scheme, as in
// user:password@host, nothing tells that there is a password in it.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("it cannot be read as a URL: give one such as https://push.example.org")
	case u.User != nil:
		return nil, errors.New("it holds a user or a password, which would show in logs: give them in the settings _USER and _TOKEN instead")
	case (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return nil, errors.New("it must be http://host:port or https://host, perhaps with a path")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("it must end before ? and #")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

// client makes authenticated calls to one destination, whose errors hold no secrets.
type client struct {
	http *http.Client
	who  Destination
}

func newClient(who Destination, roots *x509.CertPool) *client {
	transport := &http.Transport{ // no Proxy: the environment's are never used
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		MaxIdleConns:    1,
		IdleConnTimeout: 30 * time.Second,
	}
	return &client{who: who, http: &http.Client{
		Transport: transport,
		// The token goes to no other address, and a redirected PUT may become a GET.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 10

// Do sends a request with the credentials. An answer that is no success is an error, so
// that nothing prints the whole of it.
func (c *client) Do(request *http.Request) (*http.Response, error) {
	switch token := c.who.Token.Value(); {
	case c.who.User != "":
		request.SetBasicAuth(c.who.User, token)
	case token != "":
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) { // without the URL: the host is named already
			err = wrapped.Err
		}
		return nil, err
	}
	if response.StatusCode/100 == 2 {
		return response, nil
	}
	defer response.Body.Close() //nolint:errcheck // read as far as it counts
	return nil, c.answerError(response)
}

// call sends a body and drops the answer.
func (c *client) call(ctx context.Context, method, to string, body io.Reader, header http.Header) error {
	request, err := http.NewRequestWithContext(ctx, method, to, body)
	if err != nil {
		return err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := c.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()                                          //nolint:errcheck // nothing is written
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer)) // so that the connection can be used again
	return nil
}

// maxSaid bounds what is repeated of an answer, in bytes.
const maxSaid = 200

// answerError is an answer that is no success.
type answerError struct {
	status int
	// after is how long the destination asks to be left alone, 0 when it does not say.
	after time.Duration
	text  string
}

func (e *answerError) Error() string { return e.text }

// passing reports whether the same request may succeed later (429 and 5xx, as the
// specification of remote write has it: https://prometheus.io/docs/specs/prw/remote_write_spec/).
func (e *answerError) passing() bool {
	return e.status == http.StatusTooManyRequests || e.status/100 == 5
}

func (c *client) answerError(response *http.Response) *answerError {
	e := &answerError{status: response.StatusCode, text: "it answered " + strconv.Itoa(response.StatusCode)}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.after = time.Duration(min(seconds, 3600)) * time.Second
	}
	said, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer)) // the status counts
	text := strings.TrimSpace(string(said))
	if token := c.who.Token.Value(); token != "" { // before the text is cut, which could leave half of it
		text = strings.ReplaceAll(text, token, "[redacted]")
	}
	if text != "" {
		e.text += fmt.Sprintf(" (%q)", text[:min(len(text), maxSaid)])
	}
	switch at, err := response.Location(); {
	case e.status == http.StatusUnauthorized || e.status == http.StatusForbidden:
		e.text += ": the user or the token is not the right one"
	case e.status == http.StatusNotFound || e.status == http.StatusMethodNotAllowed:
		e.text += ": nothing takes pushes there: the URL needs its whole path, and Prometheus the flag --web.enable-remote-write-receiver"
	case e.status/100 == 3 && err == nil:
		e.text += fmt.Sprintf(": it points to %q, which is not followed: give the address itself", at.Scheme+"://"+at.Host+at.Path)
	}
	return e
}

// attempts is how often a push is tried, firstPause how long after the first failure; the
// pause doubles.
const (
	attempts   = 3
	firstPause = 500 * time.Millisecond
)

// retried calls send until it succeeds, fails for good, was tried often enough or ctx
// would end before the next attempt.
func retried(ctx context.Context, send func(context.Context) error) error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := send(ctx)
		var answer *answerError
		refused := errors.As(err, &answer)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return inTime(ctx, err)
		case attempt == attempts || (refused && !answer.passing()):
			return err
		}
		wait := pause
		if refused {
			wait = max(wait, answer.after)
		}
		if end, bounded := ctx.Deadline(); bounded && time.Until(end) <= wait {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
		pause *= 2
	}
}

// inTime says of an attempt that was cut off by the time limit what happened.
func inTime(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errors.New("it did not answer in time")
	}
	return err
}
