package probes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"syscall"
)

// Reason says in one word of a fixed list why a poll failed: a label value.
type Reason string

// The reasons, from the way to the dependency to its answer.
const (
	// ReasonDNS: the name of the dependency has no address.
	ReasonDNS Reason = "dns"
	// ReasonConnect: nobody listens, or there is no way to the host.
	ReasonConnect Reason = "connect"
	// ReasonTLS: the certificate or the handshake is wrong.
	ReasonTLS Reason = "tls"
	// ReasonTimeout: no answer within the time of the poll.
	ReasonTimeout Reason = "timeout"
	// ReasonReset: the connection ended before the answer was whole.
	ReasonReset Reason = "reset"
	// ReasonAuth: the password, token or role is refused.
	ReasonAuth Reason = "auth"
	// ReasonPermission: the role may log in and lacks a right, or soakd may not
	// read a file.
	ReasonPermission Reason = "permission"
	// ReasonUnavailable: the dependency answers that it cannot serve now: it
	// starts, stops, loads, has no room for a connection, or lost its primary.
	ReasonUnavailable Reason = "unavailable"
	// ReasonProtocol: the answer is not what the dependency's protocol allows.
	ReasonProtocol Reason = "protocol"
	// ReasonMissing: something that the configuration names is not there.
	ReasonMissing Reason = "missing"
	// ReasonCheck: the answer is well formed and not the one that is wanted.
	ReasonCheck Reason = "check"
	// ReasonHung: the poll did not return after its deadline.
	ReasonHung Reason = "hung"
	// ReasonPanic: a defect of soakd.
	ReasonPanic Reason = "panic"
	// ReasonOther: none of these; the log has the text.
	ReasonOther Reason = "other"
)

// Reasons lists all reasons.
func Reasons() []Reason {
	return []Reason{
		ReasonDNS, ReasonConnect, ReasonTLS, ReasonTimeout, ReasonReset, ReasonAuth, ReasonPermission, ReasonUnavailable,
		ReasonProtocol, ReasonMissing, ReasonCheck, ReasonHung, ReasonPanic, ReasonOther,
	}
}

// Because returns err with a reason that [ReasonOf] finds, the same text, and
// all that is inside. It returns nil for nil.
func Because(reason Reason, err error) error {
	if err == nil {
		return nil
	}
	return &reasonError{reason: reason, err: err}
}

type reasonError struct {
	reason Reason
	err    error
}

func (e *reasonError) Error() string { return e.err.Error() }
func (e *reasonError) Unwrap() error { return e.err }

// ReasonOf returns why a poll failed: the reason that the probe gave with
// [Because], the first of several, else what the network's errors tell.
func ReasonOf(err error) Reason {
	var given *reasonError
	var brief *briefError
	var panicErr *PanicError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &given):
		return given.reason
	case errors.As(err, &brief):
		return brief.reason
	case errors.As(err, &panicErr):
		return ReasonPanic
	case errors.Is(err, ErrHung):
		return ReasonHung
	}
	return networkReason(err)
}

// networkReason classifies the errors of Go's network packages, and those of
// files such as one with a token.
func networkReason(err error) Reason {
	var dns *net.DNSError
	var netErr net.Error
	var file *fs.PathError
	switch {
	case errors.As(err, &dns) && !dns.IsTimeout:
		return ReasonDNS
	case isTLS(err):
		return ReasonTLS
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return ReasonTimeout
	case isAny(err, syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EADDRNOTAVAIL):
		return ReasonConnect
	case errors.As(err, &file) && isAny(file, syscall.ENOENT):
		return ReasonMissing
	case errors.As(err, &file) && isAny(file, syscall.EACCES):
		return ReasonPermission
	case isAny(err, syscall.ENOENT, syscall.EACCES): // of a Unix socket
		return ReasonConnect
	case isAny(err, syscall.ECONNRESET, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed):
		return ReasonReset
	}
	return ReasonOther
}

func isTLS(err error) bool {
	var (
		alert     tls.AlertError
		header    tls.RecordHeaderError
		verify    *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	// An alert that comes after the handshake, as for a client certificate in TLS
	// 1.3, is a network error with this operation (crypto/tls).
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return true
	}
	return errors.As(err, &alert) || errors.As(err, &header) || errors.As(err, &verify) ||
		errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &invalid)
}

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}
