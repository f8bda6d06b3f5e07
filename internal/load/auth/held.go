package auth

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"soakd/internal/load"
)

// maxToken bounds a token in bytes: common servers refuse header fields beyond 8 KiB.
const maxToken = 8 << 10

// held is a token that somebody else issued.
type held struct {
	value string
	// forged looks like value, and no key of the target signed it.
	forged string
	// jwt reports whether value is a signed JSON Web Token that can be read.
	jwt bool
	// subject is the token's sub; "" when it is opaque or has none.
	subject string
	// expires is the token's exp; zero when it is not known.
	expires time.Time
}

// hold checks that value can be sent and finds out what it says. Errors continue
// the sentence "the token ..." and never quote it.
func hold(value string) (*held, error) {
	switch {
	case value == "":
		return nil, errors.New("is empty")
	case len(value) > maxToken:
		return nil, fmt.Errorf("has %d bytes, more than the %d that servers take in a header", len(value), maxToken)
	case len(value) > 7 && strings.EqualFold(value[:7], "bearer "):
		return nil, errors.New(`starts with "Bearer ": give the token alone`)
	case strings.ContainsFunc(value, notPrintable):
		return nil, errors.New("holds white space or characters other than printable ASCII")
	}
	h := &held{value: value}
	header, payload, found := h.readClaims()
	var err error
	if found {
		h.forged, err = resign(header, payload)
	} else {
		h.forged = randomText(len(value))
	}
	if err != nil {
		return nil, fmt.Errorf("could not be forged for the test of forged tokens: %w", err)
	}
	return h, nil
}

// readClaims fills in what a JWT says of itself, without trusting any of it, and
// returns its encoded header and payload. found is false for an opaque token.
func (h *held) readClaims() (header, payload string, found bool) {
	claims := jwt.MapClaims{}
	_, parts, err := jwt.NewParser().ParseUnverified(h.value, claims)
	if err != nil || len(parts) != 3 {
		return "", "", false
	}
	h.jwt = true
	if subject, err := claims.GetSubject(); err == nil && !strings.ContainsFunc(subject, notPrintable) {
		h.subject = subject
	}
	if expires, err := claims.GetExpirationTime(); err == nil && expires != nil {
		h.expires = expires.Time
	}
	return parts[0], parts[1], true
}

// resign signs the claims of payload with a random key. HS256 stands in for
// whatever the token was signed with: what matters is that no one issued it.
func resign(header, payload string) (string, error) {
	token, _, err := jwt.NewParser().ParseUnverified(header+"."+payload+".", jwt.MapClaims{})
	method := jwt.SigningMethodHS256
	if err == nil {
		if hmac, ok := token.Method.(*jwt.SigningMethodHMAC); ok {
			method = hmac // the header fits as it is
		}
	}
	if err != nil || token.Method != jwt.SigningMethod(method) {
		unsigned, err := jwt.New(method).SigningString()
		if err != nil {
			return "", err
		}
		header, _, _ = strings.Cut(unsigned, ".")
	}
	text := header + "." + payload
	signature, err := method.Sign(text, randomKey())
	if err != nil {
		return "", err
	}
	return text + "." + jwt.NewWithClaims(method, nil).EncodeSegment(signature), nil
}

// as returns the token for credentials, which are never NoToken.
func (h *held) as(credentials load.Credentials) (string, error) {
	switch credentials {
	case load.UserToken:
		return h.value, nil
	case load.ForgedToken:
		return h.forged, nil
	case load.ExpiredToken:
		return "", ErrCannotMint
	default:
		return "", fmt.Errorf("unknown credentials %d", credentials)
	}
}

func (h *held) kind() string {
	if h.jwt {
		return "a JWT, one identity for all virtual users"
	}
	return "opaque, one identity for all virtual users"
}

// warnIfExpired says early what would otherwise be seen as 401s only.
func (h *held) warnIfExpired(now time.Time, log *slog.Logger) {
	if !h.expires.IsZero() && now.After(h.expires) {
		log.Warn("the token has expired: the target is likely to refuse it", "expired", h.expires)
	}
}

// randomKey returns 32 random bytes: as long as the hash of HS256 (RFC 7518, 3.2).
func randomKey() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the process instead
	return key
}

// randomText returns n random characters of base32.
func randomText(n int) string {
	var text strings.Builder
	for text.Len() < n {
		text.WriteString(rand.Text())
	}
	return text.String()[:n]
}
