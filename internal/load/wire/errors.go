package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/valyala/fasthttp"
)

// Kind says in which way an attempt came to nothing.
type Kind int

// The kinds of failure.
const (
	// Connect: no connection could be made, or not in time.
	Connect Kind = iota + 1
	// DNS: the target's name could not be resolved.
	DNS
	// TLS: the handshake failed.
	TLS
	// Timeout: the time limit passed on an open connection.
	Timeout
	// Reset: the connection broke before the answer was complete.
	Reset
	// Protocol: what came is not HTTP.
	Protocol
	// TooLarge: the answer, or its headers, are larger than the limit.
	TooLarge
)

// Error is why an attempt came to nothing.
type Error struct {
	Kind Kind
	// Unsent tells that the target cannot have seen the request: it is safe to
	// send it again.
	Unsent bool
	// Silent tells that not one byte of an answer came.
	Silent bool
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// ErrTooLarge reports an answer beyond the limit, or beyond what is left of the
// memory that all answers in flight share.
var ErrTooLarge = errors.New("the answer is larger than the limit")

// dialError gives the kind of an error in making a connection.
func dialError(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	kind := Connect
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		kind = DNS
	case isTLS(err):
		kind = TLS
	}
	return &Error{Kind: kind, Unsent: true, Silent: true, Err: err}
}

// tlsError is an error of a handshake: one of TLS, unless the network broke.
func tlsError(err error) *Error {
	kind := TLS
	if isTimeout(err) || (isBroken(err) && !isTLS(err)) {
		kind = Connect
	}
	return &Error{Kind: kind, Unsent: true, Silent: true, Err: fmt.Errorf("TLS handshake: %w", err)}
}

// exchangeError gives the kind of an error on an open connection.
func exchangeError(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	var small *fasthttp.ErrSmallBuffer
	kind := Protocol
	switch {
	case errors.As(err, &small), errors.Is(err, ErrTooLarge), strings.Contains(err.Error(), "response headers exceeded"),
		strings.Contains(err.Error(), "response header list larger than"):
		kind = TooLarge
	case isTimeout(err):
		kind = Timeout
	case isTLS(err):
		kind = TLS // before isBroken: an alert is of the same type as a broken connection
	case isBroken(err):
		kind = Reset
	}
	return &Error{Kind: kind, Unsent: kind == Reset && isRefused(err), Err: err}
}

// isRefused reports whether an error of HTTP/2 says that the target has not
// looked at the request and that it may be sent again (RFC 9113, 8.7).
func isRefused(err error) bool {
	text := err.Error()
	return strings.Contains(text, "REFUSED_STREAM") || strings.Contains(text, "graceful shutdown GOAWAY") ||
		strings.Contains(text, "client conn not usable") || strings.Contains(text, "client conn could not be established")
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, fasthttp.ErrTimeout) || (errors.As(err, &timeout) && timeout.Timeout())
}

func isBroken(err error) bool {
	var operation *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.As(err, &operation) ||
		isBrokenHTTP2(err.Error())
}

// isBrokenHTTP2 knows the texts of net/http for an end of an HTTP/2 connection or
// stream; their types are not exported.
func isBrokenHTTP2(text string) bool {
	for _, known := range [...]string{
		"client connection lost", "client connection force closed", "client conn is closed", "client conn not usable",
		"client conn could not be established", "GOAWAY", "stream error",
	} {
		if strings.Contains(text, known) {
			return true
		}
	}
	return false
}

func isTLS(err error) bool {
	var (
		record    tls.RecordHeaderError
		alert     tls.AlertError
		verify    *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	var operation *net.OpError
	if errors.As(err, &operation) && (operation.Op == "remote error" || operation.Op == "local error") {
		return true // how crypto/tls wraps alerts, whose type it does not export
	}
	return errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &verify) ||
		errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &invalid)
}
