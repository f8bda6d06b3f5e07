package refapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
)

const (
	// maxBody is the largest body that is read as a request, in bytes.
	maxBody = 1 << 20
	// maxDrained is how much of an unread body is thrown away to keep the
	// connection usable. Beyond it the connection is closed.
	maxDrained = 8 << 20
	// statusGone is what a request is counted as whose client left before it was
	// answered; nobody sees the answer (nginx' 499).
	statusGone = 499
	// retryAfter is the pause asked for with a 503, in seconds.
	retryAfter = "1"
)

// answer is what a handler returns: a status and what is written as JSON.
type answer struct {
	status int
	body   any    // rawJSON is written as it is
	class  string // of a forecast, for faults that are of one class
}

// rawJSON is JSON in pieces that are written one after the other.
type rawJSON [][]byte

// failure is an error that the client is told of.
type failure struct {
	status int
	detail any // a text, or the list of wrong fields
}

func (f *failure) Error() string { return http.StatusText(f.status) }

func fail(status int, detail string) *failure { return &failure{status, detail} }

// invalid is the failure for wrong fields.
func invalid(bad ...fieldError) *failure { return &failure{http.StatusUnprocessableEntity, bad} }

// readBody returns the body of a JSON request.
func readBody(r *http.Request) ([]byte, error) {
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := parameters["charset"]
	if err != nil || kind != "application/json" || (charset != "" && !bytes.EqualFold([]byte(charset), []byte("utf-8"))) {
		return nil, fail(http.StatusUnsupportedMediaType, "the Content-Type must be application/json")
	}
	tooLarge := fail(http.StatusRequestEntityTooLarge, "the body is larger than "+strconv.Itoa(maxBody)+" bytes")
	if r.ContentLength > maxBody {
		return nil, tooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, fail(http.StatusBadRequest, "the body could not be read to its end")
	case len(body) > maxBody:
		return nil, tooLarge
	}
	return body, nil
}

// write answers the request.
func write(w http.ResponseWriter, a answer) error {
	var pieces rawJSON
	if raw, ok := a.body.(rawJSON); ok {
		pieces = raw
	} else {
		encoded, err := json.Marshal(a.body)
		if err != nil {
			return err
		}
		pieces = rawJSON{encoded}
	}
	length := 0
	for _, piece := range pieces {
		length += len(piece)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(length))
	w.WriteHeader(a.status)
	for _, piece := range pieces {
		if _, err := w.Write(piece); err != nil {
			return nil //nolint:nilerr // the client left; the answer is its loss
		}
	}
	return nil
}

// writeError answers with an error. What the client need not know is logged.
func (a *API) writeError(w http.ResponseWriter, r *http.Request, err error) {
	f := a.failureFor(r, err)
	switch f.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter)
	}
	detail := struct {
		Detail any `json:"detail"`
	}{f.detail}
	if err := write(w, answer{status: f.status, body: detail}); err != nil {
		a.logger.Error("an error could not be written", "request_id", requestID(r.Context()), "error", err)
	}
}

// failureFor says what the client is told of an error.
func (a *API) failureFor(r *http.Request, err error) *failure {
	var told *failure
	var broken *panicked
	log := a.logger.With("request_id", requestID(r.Context()), "route", route(r))
	switch {
	case errors.As(err, &told):
		return told
	case errors.Is(err, errNotFound):
		return fail(http.StatusNotFound, "no such scenario")
	case r.Context().Err() != nil && !errors.Is(context.Cause(r.Context()), context.DeadlineExceeded):
		return fail(statusGone, "the client left")
	case errors.Is(err, errAway):
		log.Debug("no postgres for a request", "error", err)
		return fail(http.StatusServiceUnavailable, "the database is away")
	case errors.Is(err, errBusy), errors.Is(err, errStopped):
		return fail(http.StatusServiceUnavailable, "too many calculations are waiting")
	case errors.Is(err, context.DeadlineExceeded):
		log.Warn("a request took too long", "error", err)
		return fail(http.StatusServiceUnavailable, "the request took too long")
	case errors.As(err, &broken):
		log.Error("panic", "cause", broken.cause, "stack", string(broken.stack))
	default:
		log.Error("a request failed", "error", err)
	}
	return fail(http.StatusInternalServerError, "internal error")
}

// recorder keeps the status of the answer, and before it is sent throws away
// what was not read of the body: net/http itself gives up after 256 KiB and
// closes the connection.
type recorder struct {
	http.ResponseWriter
	request *http.Request
	status  int // 0 until the header is written
}

// WriteHeader implements [http.ResponseWriter].
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		w.drain()
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets [http.ResponseController] reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// drain leaves a body alone that the client sends only if asked for (Expect:
// 100-continue), or that is known to be beyond the bound.
func (w *recorder) drain() {
	r := w.request
	switch {
	case r.Body == nil, r.Header.Get("Expect") != "":
	case r.ContentLength > maxDrained:
		w.Header().Set("Connection", "close")
	default:
		if n, err := io.CopyN(io.Discard, r.Body, maxDrained); n == maxDrained || !errors.Is(err, io.EOF) {
			w.Header().Set("Connection", "close")
		}
	}
}
