package redis

import (
	"errors"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/probes"
)

// because gives err the reason that an error reply of Redis stands for, or that
// of an answer that is no Redis protocol. Errors of the network keep theirs.
func because(err error) error {
	if err == nil {
		return nil
	}
	if reply, ok := replyOf(err); ok {
		return probes.Because(replyReason(reply), err)
	}
	switch {
	case errors.Is(err, errLargeAnswer), strings.Contains(err.Error(), "redis: can't parse"),
		strings.Contains(err.Error(), "redis: invalid reply"), strings.Contains(err.Error(), "redis: unexpected"):
		return probes.Because(probes.ReasonProtocol, err)
	case errors.Is(err, goredis.ErrPoolTimeout), errors.Is(err, goredis.ErrPoolExhausted):
		// Every connection of the probe waits for an answer.
		return probes.Because(probes.ReasonTimeout, err)
	}
	return err
}

// replyOf returns the text of an error reply; ok is false for all other errors.
func replyOf(err error) (text string, ok bool) {
	var reply goredis.Error
	if !errors.As(err, &reply) || errors.Is(err, goredis.Nil) {
		return "", false
	}
	return reply.Error(), true
}

// replyReason classifies an error reply by its first word, which is what Redis
// promises to keep, and the replies that have only ERR by their text.
func replyReason(reply string) probes.Reason {
	code, text, _ := strings.Cut(reply, " ")
	switch code {
	case "NOAUTH", "WRONGPASS":
		return probes.ReasonAuth
	case "NOPERM", "DENIED": // DENIED: protected mode
		return probes.ReasonPermission
	case "LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY", "TRYAGAIN", "MISCONF", "NOREPLICAS", "READONLY", "OOM",
		"UNBLOCKED", "MOVED", "ASK", "NOMASTERLINK", "NOGOODSLAVE":
		return probes.ReasonUnavailable
	case "ERR":
		return textReason(strings.ToLower(text))
	}
	return probes.ReasonOther
}

// textReason classifies what follows ERR, in lower case.
func textReason(text string) probes.Reason {
	switch {
	case strings.HasPrefix(text, "max number of clients"):
		return probes.ReasonUnavailable
	case strings.HasPrefix(text, "invalid password"), strings.HasPrefix(text, "client sent auth"), strings.HasPrefix(text, "auth "):
		return probes.ReasonAuth
	case strings.HasPrefix(text, "unknown command"), strings.HasPrefix(text, "unknown subcommand"):
		// Servers forbid commands also by taking away their name.
		return probes.ReasonPermission
	case strings.HasPrefix(text, "protocol error"):
		return probes.ReasonProtocol
	}
	return probes.ReasonOther
}

// refused reports whether the server lives but does not let the probe do it, for
// the lack of a right or of the command itself.
func refused(err error) bool {
	reply, ok := replyOf(err)
	return ok && replyReason(reply) == probes.ReasonPermission && !strings.HasPrefix(reply, "DENIED")
}
