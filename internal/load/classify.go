package load

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"soakd/internal/load/wire"
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
func judgeError(err error) (j judgement) {
	kind := wire.Protocol
	var failed *wire.Error
	if errors.As(err, &failed) {
		kind = failed.Kind
	}
	switch kind {
	case wire.TooLarge:
		j.fail(checkSize, err)
		return j
	case wire.Connect:
		j.outcome = Connect
	case wire.DNS:
		j.outcome = DNS
	case wire.TLS:
		j.outcome = TLS
	case wire.Timeout:
		j.outcome = Timeout
	case wire.Reset:
		j.outcome = Reset
	default:
		j.fail(checkProtocol, err)
		return j
	}
	j.reason = brief(err.Error())
	return j
}

// judgeAnswer gives the outcome of a complete answer to the flight. basePath is
// the target's.
func judgeAnswer(f *flight, basePath string) {
	c, x, j := f.c, &f.exchange, &f.judged
	*j = judgement{}
	status := x.Response.Status
	if what := leaked(x, basePath); what != "" {
		j.outcome, j.reason = LeakedInternals, "the answer shows "+what
		return
	}
	if slices.Contains(c.Statuses, status) {
		f.runChecks()
		return
	}
	if j.outcome = wrongStatus(c, status, x.Request.Credentials); j.outcome == CheckFailed {
		j.fail(checkStatus, fmt.Errorf("got %d, expected %v", status, c.Statuses))
		return
	}
	j.reason = fmt.Sprintf("status %d, expected %v", status, c.Statuses)
}

// wrongStatus gives the outcome of a status that the case does not expect.
func wrongStatus(c *Case, status int, credentials Credentials) Outcome {
	switch {
	case status == 429:
		return RateLimited
	case status >= 500:
		return ServerError
	case c.Invalid && status/100 == 2:
		return AcceptedInvalid
	case (status == 401 || status == 403) && credentials == UserToken:
		return Unauthorized
	case c.Invalid:
		return CheckFailed
	}
	return RejectedValid
}

func (f *flight) runChecks() {
	f.judged.outcome = OK
	if f.c.Verify == nil {
		return
	}
	defer func() {
		if broken := recover(); broken != nil {
			f.judged.fail(checkPanic, fmt.Errorf("%v", broken))
		}
	}()
	f.c.Verify(&f.exchange, f.fail)
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
