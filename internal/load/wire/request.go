package wire

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
)

// Request is what goes over the connection.
type Request struct {
	Method string
	// Path starts with a slash, may have a query, and is already escaped.
	Path string
	// Body is sent as it is; nil means none.
	Body []byte
	// ContentType, Token (a bearer token) and UserID are sent when not empty.
	ContentType, Token, UserID string
	// Trace and Span are sent in traceparent, ID in X-Request-Id as a UUID.
	Trace [16]byte
	Span  [8]byte
	ID    [16]byte
}

// Identify gives the request new random ids. They need to be unique, not secret.
func (r *Request) Identify() {
	fill(r.Trace[:])
	fill(r.Span[:])
	fill(r.ID[:])
	r.ID[6] = r.ID[6]&0x0f | 0x40 // version 4 (RFC 9562, 5.4)
	r.ID[8] = r.ID[8]&0x3f | 0x80
}

func fill(id []byte) {
	for i := 0; i < len(id); i += 8 {
		word := rand.Uint64() | 1 // a trace context of zeros is not allowed
		for j := range 8 {
			id[i+j] = byte(word >> (8 * j))
		}
	}
}

// traceparent appends a sampled W3C trace context
// (https://www.w3.org/TR/trace-context/#traceparent-header).
func (r *Request) traceparent(b []byte) []byte {
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, r.Trace[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, r.Span[:])
	return append(b, "-01"...)
}

// uuid appends the request's id in its usual form.
func (r *Request) uuid(b []byte) []byte {
	for i, end := range [...]int{4, 6, 8, 10, 16} {
		if i > 0 {
			b = append(b, '-')
		}
		start := [...]int{0, 4, 6, 8, 10}[i]
		b = hex.AppendEncode(b, r.ID[start:end])
	}
	return b
}

// Traceparent returns the header of that name, as it is sent.
func (r *Request) Traceparent() string { return string(r.traceparent(nil)) }

// RequestID returns the header X-Request-Id, as it is sent.
func (r *Request) RequestID() string { return string(r.uuid(nil)) }

// Check reports what cannot be sent: a method, path or header value with
// characters that would end it.
func (r *Request) Check() error {
	switch {
	case r.Path == "" || r.Path[0] != '/':
		return fmt.Errorf("the path %.80q does not start with a slash", r.Path)
	case !printable(r.Path, '!'):
		return fmt.Errorf("the path %.80q holds characters that must be percent-encoded", r.Path)
	case r.Method == "" || !printable(r.Method, '!'):
		return fmt.Errorf("the method %.80q is not a token", r.Method)
	case !printable(r.ContentType, ' ') || !printable(r.UserID, ' ') || !printable(r.Token, '!'):
		return errors.New("the content type, the user's id or the token holds characters that no header can")
	}
	return nil
}

// printable reports whether all of text is ASCII from lowest to the tilde.
func printable(text string, lowest byte) bool {
	for i := range len(text) {
		if text[i] < lowest || text[i] > '~' {
			return false
		}
	}
	return true
}

// AnnouncesLength reports whether a request without a body says so.
func AnnouncesLength(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// appendHead appends the request line and the headers. prefix goes before the
// path (the target's base path, or its whole origin through a proxy), always is
// the block of headers that never change.
func (r *Request) appendHead(b []byte, prefix, always string) []byte {
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, prefix...)
	b = append(b, r.Path...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = append(b, always...)
	b = append(b, "X-Request-Id: "...)
	b = r.uuid(b)
	b = append(b, "\r\nTraceparent: "...)
	b = r.traceparent(b)
	b = append(b, "\r\n"...)
	b = appendHeader(b, "Content-Type: ", r.ContentType)
	b = appendHeader(b, "Authorization: Bearer ", r.Token)
	b = appendHeader(b, "X-User-Id: ", r.UserID)
	if len(r.Body) > 0 || AnnouncesLength(r.Method) {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(len(r.Body)), 10)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

func appendHeader(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, name...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}
