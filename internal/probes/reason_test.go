package probes

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"testing"

	"soakd/internal/secret"
)

func TestReasonOf(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, c := range []struct {
		err  error
		want Reason
	}{
		{nil, ""},
		{fmt.Errorf("dial: %w", &net.DNSError{Err: "no such host", IsNotFound: true}), ReasonDNS},
		{&net.DNSError{Err: "i/o timeout", IsTimeout: true}, ReasonTimeout},
		{fmt.Errorf("x: %w", refused), ReasonConnect},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}, ReasonConnect},
		{&net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.ENOENT)}, ReasonConnect},
		{&net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}, ReasonConnect},
		{fmt.Errorf("read secret: %w", &fs.PathError{Op: "open", Path: "/run/token", Err: syscall.ENOENT}), ReasonMissing},
		{fmt.Errorf("read secret: %w", &fs.PathError{Op: "open", Path: "/run/token", Err: syscall.EACCES}), ReasonPermission},
		{x509.UnknownAuthorityError{}, ReasonTLS},
		{fmt.Errorf("read: %w", &net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}), ReasonTLS},
		{context.DeadlineExceeded, ReasonTimeout},
		{os.ErrDeadlineExceeded, ReasonTimeout},
		{io.ErrUnexpectedEOF, ReasonReset},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, ReasonReset},
		{fmt.Errorf("poll %w", ErrHung), ReasonHung},
		{&PanicError{Value: "boom"}, ReasonPanic},
		{errors.New("odd"), ReasonOther},
		{fmt.Errorf("log in: %w", Because(ReasonAuth, context.DeadlineExceeded)), ReasonAuth},
		{errors.Join(Because(ReasonPermission, errors.New("a")), Because(ReasonMissing, errors.New("b"))), ReasonPermission},
	} {
		if got := ReasonOf(c.err); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
		// The reason outlives the text that may be logged.
		if got := ReasonOf(Brief(c.err, secret.New("password"))); got != c.want {
			t.Errorf("brief %v: %q, want %q", c.err, got, c.want)
		}
	}
	if Because(ReasonAuth, nil) != nil {
		t.Error("a reason for no error became an error")
	}
	if inner := errors.New("x"); !errors.Is(Because(ReasonAuth, inner), inner) {
		t.Error("the error inside is lost")
	}
}
