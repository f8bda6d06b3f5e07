package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"
)

// Checks that every case has, whatever its workload says.
const (
	// checkStatus: invalid input was rejected, but with another status than expected.
	checkStatus = "status"
	// checkSize: the answer is larger than the limit.
	checkSize = "response_size"
	// checkProtocol: the answer is not HTTP.
	checkProtocol = "http_protocol"
	// checkPanic: soakd's own check broke on the answer; a defect of soakd.
	checkPanic = "soakd_check_panic"
)

// BuiltinChecks names the checks that any case may fail, beside its own.
func BuiltinChecks() []string {
	return []string{checkStatus, checkSize, checkProtocol, checkPanic}
}

// judgement is the outcome of an exchange and what speaks against it.
type judgement struct {
	outcome Outcome
	// failed names the checks that failed.
	failed []string
	// reason says what was wrong, for people; "" when nothing was.
	reason string
}

func (j *judgement) fail(check string, err error) {
	j.outcome = CheckFailed
	j.failed = append(j.failed, check)
	if j.reason == "" {
		j.reason = brief(fmt.Sprintf("%s: %v", check, err))
	}
}

// judgeError gives the outcome of an attempt that brought no usable answer.
func judgeError(a *attempt) judgement {
	j := judgement{outcome: transportOutcome(a.err, a.connected), reason: brief(a.err.Error())}
	switch {
	case errors.Is(a.err, errTooLarge), strings.Contains(a.err.Error(), "response headers exceeded"):
		j = judgement{}
		j.fail(checkSize, a.err)
	case j.outcome == "":
		j = judgement{}
		j.fail(checkProtocol, a.err)
	}
	return j
}

// transportOutcome maps an error of the network to its outcome; "" when the
// network was fine and the answer was not HTTP.
func transportOutcome(err error, connected bool) Outcome {
	var (
		dns       *net.DNSError
		operation *net.OpError
	)
	isOperation := errors.As(err, &operation)
	timeout := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, context.Canceled) || (isOperation && operation.Timeout())
	switch {
	case strings.Contains(err.Error(), "malformed HTTP"), strings.Contains(err.Error(), "malformed MIME"):
		return "" // net/http says so behind "transport connection broken"
	case errors.As(err, &dns):
		return DNS
	case isTLS(err):
		return TLS
	case !connected && (timeout || (isOperation && operation.Op == "dial")):
		return Connect
	case timeout:
		return Timeout
	case isOperation, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		strings.Contains(err.Error(), "server closed idle connection"),
		strings.Contains(err.Error(), "transport connection broken"):
		return Reset
	}
	return ""
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
	return errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &verify) ||
		errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &invalid) ||
		strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") || strings.Contains(err.Error(), "tls: ") || strings.Contains(err.Error(), "TLS handshake")
}

// judgeAnswer gives the outcome of a complete answer. basePath is the target's.
func judgeAnswer(c *Case, x *Exchange, basePath string) judgement {
	status := x.Response.Status
	expected := slices.Contains(c.Statuses, status)
	if what := leaked(x, basePath); what != "" {
		return judgement{outcome: LeakedInternals, reason: "the answer shows " + what}
	}
	says := func(o Outcome) judgement {
		return judgement{outcome: o, reason: fmt.Sprintf("status %d, expected %v", status, c.Statuses)}
	}
	switch {
	case expected:
		return runChecks(c, x)
	case status == 429:
		return says(RateLimited)
	case status >= 500:
		return says(ServerError)
	case c.Invalid && status/100 == 2:
		return says(AcceptedInvalid)
	case (status == 401 || status == 403) && x.Request.Credentials == UserToken:
		return says(Unauthorized)
	case c.Invalid:
		var j judgement
		j.fail(checkStatus, fmt.Errorf("got %d, expected %v", status, c.Statuses))
		return j
	}
	return says(RejectedValid)
}

func runChecks(c *Case, x *Exchange) (j judgement) {
	j.outcome = OK
	if c.Verify == nil {
		return j
	}
	defer func() {
		if broken := recover(); broken != nil {
			j.fail(checkPanic, fmt.Errorf("%v", broken))
		}
	}()
	c.Verify(x, j.fail)
	return j
}

// leakScanBytes bounds how much of an error answer is searched.
const leakScanBytes = 64 << 10

// What gives a server's internals away: stack traces of the usual runtimes, SQL
// (in capitals, as programs write it: "select a rate from the list" is English)
// and database drivers, paths of the file system.
var (
	traceMark = regexp.MustCompile(`Traceback \(most recent call last\)|File \\?"[^"]+", line \d+|goroutine \d+ \[|runtime error:|panic: |` +
		`\bat (?:java|javax|org|com|io)\.[\w.$]+\(|java\.lang\.|node_modules/|at Object\.<anonymous>|System\.\w+Exception`)
	sqlMark = regexp.MustCompile(`SQLSTATE|psycopg|sqlalchemy|asyncpg\.|jackc/pgx|org\.postgresql|syntax error at or near|` +
		`duplicate key value violates|\bSELECT\b[^"]*\bFROM\b|\bINSERT INTO\b|\bDELETE FROM\b|\bUPDATE\b[^"]*\bSET\b`)
	pathMark = regexp.MustCompile(`/(?:usr/(?:lib|local|share)|home|app|var/lib|opt|srv|root)/[\w./-]+|site-packages|[A-Z]:\\\\`)
)

// leaked says which of a server's internals an error answer shows, or "". An
// answer below 400 is data, which may hold anything that a user saved. What the
// request itself held does not count either: an error may quote its input and
// its own path, below the target's base path.
func leaked(x *Exchange, basePath string) string {
	if x.Response.Status < 400 {
		return ""
	}
	body := x.Response.Body[:min(len(x.Response.Body), leakScanBytes)]
	path := basePath + x.Request.Path
	shows := func(mark *regexp.Regexp) bool {
		for _, text := range mark.FindAll(body, -1) {
			if !bytes.Contains(x.Request.Body, text) && !strings.Contains(path, string(text)) {
				return true
			}
		}
		return false
	}
	switch {
	case shows(traceMark):
		return "a stack trace"
	case shows(sqlMark):
		return "SQL or database text"
	case shows(pathMark):
		return "a path of the file system"
	}
	return ""
}

// maxReason bounds a reason, in bytes: it may quote the target, which may send
// anything.
const maxReason = 300

// brief makes one line of bounded length of a text.
func brief(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, text[:min(len(text), 4*maxReason)])
	if len(text) <= maxReason {
		return text
	}
	end := maxReason
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
