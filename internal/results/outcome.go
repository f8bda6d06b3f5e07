package results

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"soakd/internal/judge/window"
	"soakd/internal/load"
)

// statusOutcome says as what soakd counts a failed request that got that status: as the
// engine does for valid requests. 0 is no status.
func statusOutcome(status int) load.Outcome {
	switch {
	case status == 429:
		return load.RateLimited
	case status >= 500 && status < 600:
		return load.ServerError
	case status == 401 || status == 403:
		return load.Unauthorized
	case status >= 300 && status < 500:
		return load.RejectedValid
	}
	return load.CheckFailed
}

// outcomeWords tell by words of an error, in small letters, what it was; the first that
// is found counts.
func outcomeWords() []struct {
	word    string
	outcome load.Outcome
} {
	return []struct {
		word    string
		outcome load.Outcome
	}{
		{"no such host", load.DNS},
		{"name or service not known", load.DNS},
		{"name resolution", load.DNS},
		{"unknownhost", load.DNS},
		{"getaddrinfo", load.DNS},
		{"timed out", load.Timeout},
		{"timedout", load.Timeout},
		{"timeout", load.Timeout},
		{"deadline exceeded", load.Timeout},
		{"certificate", load.TLS},
		{"tls", load.TLS},
		{"ssl", load.TLS},
		{"reset by peer", load.Reset},
		{"connection reset", load.Reset},
		{"broken pipe", load.Reset},
		{"remotedisconnected", load.Reset},
		{"without response", load.Reset},
		{"nohttpresponse", load.Reset},
		{"unexpected eof", load.Reset},
		{": eof", load.Reset},
		{"connection refused", load.Connect},
		{"connectexception", load.Connect},
		{"connectionrefused", load.Connect},
		{"connectionerror", load.Connect},
		{"dial tcp", load.Connect},
		{"unreachable", load.Connect},
	}
}

// statusWords find a status in the text of an error: "404 Client Error", "status code
// 503", "404 Not Found".
var statusWords = regexp.MustCompile(`(?i)(?:^|[^0-9.])([345][0-9][0-9]) [A-Z]|status(?: code)?:? ([1-5][0-9][0-9])\b`)

// textOutcome says as what soakd counts a request that failed with that text.
func textOutcome(text string) load.Outcome {
	if found := statusWords.FindStringSubmatch(text); found != nil {
		status, err := strconv.Atoi(found[1] + found[2])
		if err == nil {
			return statusOutcome(status)
		}
	}
	small := strings.ToLower(text)
	for _, one := range outcomeWords() {
		if strings.Contains(small, one.word) {
			return one.outcome
		}
	}
	return load.CheckFailed
}

// failedOutcome says what a failed request was by its status, or where it has none by
// the text of its error, and why in words.
func failedOutcome(status int, text string) (outcome, reason string) {
	kind := statusOutcome(status)
	if status < 100 {
		kind = textOutcome(text)
	}
	reason = redact(text)
	if reason == "" {
		reason = "no status and no error"
		if status > 0 {
			reason = fmt.Sprintf("status %d", status)
		}
	}
	return string(kind), reason
}

// okOutcome is the outcome of a right answer.
const okOutcome = window.OK

// secretParts are what may hold a secret in a URL: its user, also with a password that
// holds the @ or, where it is no port, the slash that should have been escaped in it; and its query.
var secretParts = regexp.MustCompile(`(://)(?:[^/?#\s"']*@|[^/?#\s"'@:]*:[0-9]*[^0-9/?#\s"'][^\s"']*@)|([?&][^=\s"'&]*=)[^&\s"'#)]*`)

// redact takes what may be secret out of a text with URLs, and makes it fit for a report.
func redact(text string) string {
	return clean(secretParts.ReplaceAllString(text, "$1$2"))
}
