package postgres

import (
	"errors"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"soakd/internal/probes"
)

// explained gives err the reason that the driver's errors tell.
func explained(err error) error {
	if reason := reasonOf(err); reason != "" {
		return probes.Because(reason, err)
	}
	return err
}

// reasonOf is the reason that the server or the driver gives; "" leaves it to
// the errors of the network. What a server has said comes first: where several
// hosts, or TLS and no TLS, are tried, it is the furthest that one got.
func reasonOf(err error) probes.Reason {
	var answer *pgconn.PgError
	var tooLong *pgproto3.ExceededMaxBodyLenErr
	switch {
	case err == nil:
		return ""
	case errors.As(err, &answer):
		return answerReason(answer.Code, answer.Message)
	case errors.Is(err, pgconn.ErrReadOnlyConnection), errors.Is(err, pgconn.ErrStandbyConnection),
		errors.Is(err, pgconn.ErrPrimaryConnection), errors.Is(err, pgconn.ErrReadWriteConnection):
		return probes.ReasonUnavailable // no host with the role that target_session_attrs wants
	case errors.Is(err, errHidden):
		return probes.ReasonPermission
	case errors.Is(err, errNoStatements):
		return probes.ReasonMissing
	case errors.As(err, &tooLong):
		return probes.ReasonProtocol
	}
	return textReason(err)
}

// protocolText and authText match errors of the driver that have no type.
var (
	protocolText = regexp.MustCompile(`unknown message type|invalid message length|body is invalid|body must have length|unknown authentication type|unexpected message|received unexpected`)
	authText     = regexp.MustCompile(`channel binding|require_auth check failed|SCRAM|SASL|sslcertmode check failed`)
)

func textReason(err error) probes.Reason {
	text := err.Error()
	switch {
	case protocolText.MatchString(text):
		return probes.ReasonProtocol
	case probes.ReasonOf(err) != probes.ReasonOther:
		return "" // such as a connection that was cut while logging in
	case authText.MatchString(text):
		return probes.ReasonAuth
	case strings.Contains(text, "server refused TLS connection"):
		return probes.ReasonTLS
	}
	return ""
}

// answerReason maps an SQLSTATE
// (https://www.postgresql.org/docs/current/errcodes-appendix.html).
func answerReason(code, message string) probes.Reason {
	switch code {
	case "42501": // insufficient_privilege
		return probes.ReasonPermission
	case "57014", "55P03": // query_canceled, lock_not_available: a limit of the session worked
		return probes.ReasonTimeout
	case "3D000", "3F000", "42P01", "42703", "42883": // no such database, schema, table, column, function
		return probes.ReasonMissing
	case "57P01", "57P02", "57P03", "57P04", "57P05", "25006": // stops, crashed, starts, dropped, idle too long; read-only: no primary
		return probes.ReasonUnavailable
	case "08P01":
		return poolerReason(message)
	}
	if len(code) != 5 {
		return probes.ReasonProtocol
	}
	switch code[:2] {
	case "28": // invalid authorization
		return probes.ReasonAuth
	case "53": // insufficient resources: connections, memory, disk
		return probes.ReasonUnavailable
	case "08": // connection exception
		return probes.ReasonReset
	}
	return probes.ReasonOther
}

// poolerText maps what PgBouncer says under 08P01, protocol_violation, which it
// uses for nearly all that it refuses.
var (
	poolerAuth        = regexp.MustCompile(`authentication failed|password|no such user|not allowed|client certificate|SASL|TLS required|SSL required`)
	poolerMissing     = regexp.MustCompile(`no such database|database .* does not exist`)
	poolerUnavailable = regexp.MustCompile(`connect|query_wait_timeout|query_timeout|login_retry|no more connections|shut|crashed|server conn|paused|suspended|disabled|no working server`)
)

func poolerReason(message string) probes.Reason {
	switch {
	case poolerMissing.MatchString(message):
		return probes.ReasonMissing
	case poolerAuth.MatchString(message):
		return probes.ReasonAuth
	case poolerUnavailable.MatchString(message):
		return probes.ReasonUnavailable
	}
	return probes.ReasonProtocol
}
