package refapi

import (
	"errors"
	"net/http"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"soakd/internal/secret"
)

// maxSubject bounds a user's id, in bytes.
const maxSubject = 200

// errNoToken says no more than the client may know.
var errNoToken = errors.New("a valid bearer token is required")

// verifier checks bearer tokens.
type verifier struct {
	parser *jwt.Parser
	secret secret.String
}

// newVerifier accepts HS256 only, so that a token cannot choose a weaker
// algorithm (RFC 8725, 3.1).
func newVerifier(key secret.String, audience string) *verifier {
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithExpirationRequired(),
	}
	if audience != "" {
		options = append(options, jwt.WithAudience(audience))
	}
	return &verifier{parser: jwt.NewParser(options...), secret: key}
}

// user returns the subject of the request's token.
func (v *verifier) user(r *http.Request) (string, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", errNoToken
	}
	var claims jwt.RegisteredClaims
	_, err := v.parser.ParseWithClaims(strings.TrimSpace(token), &claims, func(*jwt.Token) (any, error) {
		return []byte(v.secret.Value()), nil
	})
	if err != nil || claims.Subject == "" || len(claims.Subject) > maxSubject || strings.ContainsRune(claims.Subject, 0) {
		return "", errNoToken
	}
	return claims.Subject, nil
}
