// Package auth gives every request its bearer token: none at all, one that is
// given, one from a file that is read again when it changes, or tokens minted
// for each virtual user and renewed before they expire.
//
// Nothing here starts a goroutine: the file is looked at and tokens are renewed
// by whoever asks for a token when the time has come.
package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"soakd/internal/load"
	"soakd/internal/secret"
)

const (
	// defaultTTL is how long a minted token is good when nothing is set.
	defaultTTL = time.Hour
	// minTTL keeps enough of a token's life to renew it in good time: NumericDate
	// has whole seconds.
	minTTL = 10 * time.Second
	// defaultPrefix starts the ids of virtual users.
	defaultPrefix = "soakd"
	// maxPrefix bounds the prefix in bytes: it is part of a header and of every
	// row that the target writes.
	maxPrefix = 64
)

// ErrCannotMint is returned for an expired token when there is no JWT secret
// to sign it with.
var ErrCannotMint = errors.New("an expired token can only be made with a JWT secret")

// Config says where tokens come from. At most one of Token, TokenFile and
// JWTSecret may be set; with none of them no Authorization header is sent.
type Config struct {
	// Token is sent as it is for all virtual users. Without "Bearer ".
	Token secret.String
	// TokenFile is the path of a file that holds such a token and nothing else.
	// It is looked at once a second at most, and read again when it changed.
	TokenFile string
	// JWTSecret signs (HS256) a token for each virtual user.
	JWTSecret secret.String
	// JWTAudience is the aud claim of minted tokens; empty means no such claim.
	JWTAudience string
	// JWTTTL is how long a minted token is good; 0 means 1 h, at least 10 s.
	JWTTTL time.Duration
	// UserPrefix starts the ids of virtual users; empty means "soakd". Two
	// processes that drive one target with minted tokens need different
	// prefixes: a virtual user is expected to be driven by one process only.
	// 1..64 characters of printable ASCII without spaces.
	UserPrefix string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// scheme is one way to have tokens.
type scheme interface {
	// token returns the token of user; credentials are never NoToken.
	token(user load.User, credentials load.Credentials) (string, error)
	describe() string
}

// Source gives identities and tokens. It is safe for concurrent use.
type Source struct {
	scheme scheme
	prefix string
	// subject tells the one identity of all virtual users at this moment, "" when
	// it is not known; nil when each has its own.
	subject   func() string
	shared    bool
	minting   bool
	anonymous bool
}

// New returns the source that cfg describes, or an error that joins everything
// that is wrong with cfg: more than one kind of token, a token that could not
// be sent, a file that cannot be read, a life below 10 s, an unusable prefix.
// What happens to a token file later goes to log, which may be nil.
func New(cfg Config, log *slog.Logger) (*Source, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("set up authorization: %w", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	source, err := build(cfg, log)
	if err != nil {
		return nil, fmt.Errorf("set up authorization: %w", err)
	}
	source.prefix = cfg.UserPrefix
	return source, nil
}

func build(cfg Config, log *slog.Logger) (*Source, error) {
	switch {
	case cfg.Token.IsSet():
		held, err := hold(cfg.Token.Value())
		if err != nil {
			return nil, fmt.Errorf("the static token %w", err)
		}
		held.warnIfExpired(cfg.Now(), log)
		return &Source{scheme: static{held}, subject: func() string { return held.subject }, shared: true}, nil
	case cfg.TokenFile != "":
		file, err := openFile(cfg.TokenFile, cfg.Now, log)
		if err != nil {
			return nil, err
		}
		return &Source{scheme: file, subject: file.subject, shared: true}, nil
	case cfg.JWTSecret.IsSet():
		return &Source{scheme: newMint(cfg), minting: true}, nil
	default:
		return &Source{scheme: none{}, shared: true, anonymous: true}, nil
	}
}

func (cfg *Config) setDefaults() {
	if cfg.JWTTTL == 0 {
		cfg.JWTTTL = defaultTTL
	}
	if cfg.UserPrefix == "" {
		cfg.UserPrefix = defaultPrefix
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
}

func (cfg *Config) validate() error {
	var errs []error
	var given []string
	if cfg.Token.IsSet() {
		given = append(given, "a static token")
	}
	if cfg.TokenFile != "" {
		given = append(given, "a token file")
	}
	if cfg.JWTSecret.IsSet() {
		given = append(given, "a JWT secret")
	}
	if len(given) > 1 {
		errs = append(errs, fmt.Errorf("%s are given: give only one", strings.Join(given, " and ")))
	}
	if cfg.JWTTTL < minTTL {
		errs = append(errs, fmt.Errorf("the life of minted tokens is %v: it must be at least %v", cfg.JWTTTL, minTTL))
	}
	if len(cfg.UserPrefix) > maxPrefix || strings.ContainsFunc(cfg.UserPrefix, notPrintable) {
		errs = append(errs, fmt.Errorf("the user prefix %.80q must be 1..%d characters of printable ASCII without spaces", cfg.UserPrefix, maxPrefix))
	}
	return errors.Join(errs...)
}

// notPrintable reports whether r cannot stand in a header's value or a token.
func notPrintable(r rune) bool { return r <= ' ' || r >= 0x7f }

// User returns the identity of virtual user i (0..). With a token that is a JWT
// everyone is its subject, the present one when a token file changes; whom an
// opaque token stands for only the target knows, so the ID is then empty;
// otherwise users are numbered from 1: "<prefix>-0001". Ask again for each
// request: an identity that is kept becomes wrong when a token file changes.
func (s *Source) User(i int) load.User {
	if s.subject != nil {
		return load.User{Index: i, ID: s.subject()}
	}
	return load.User{Index: i, ID: fmt.Sprintf("%s-%04d", s.prefix, i+1)}
}

// Token returns the bearer token for one request, without "Bearer ", or "" when
// no Authorization header is to be sent. ForgedToken has the claims of a good
// token and another key's signature (for an opaque token: random characters of
// the same length); ExpiredToken is [ErrCannotMint] unless tokens are minted.
func (s *Source) Token(user load.User, credentials load.Credentials) (string, error) {
	if credentials == load.NoToken {
		return "", nil
	}
	token, err := s.scheme.token(user, credentials)
	if err != nil {
		return "", fmt.Errorf("make a token for %s: %w", user.ID, err)
	}
	return token, nil
}

// CanMint reports whether tokens are minted, so that an expired one can be too.
func (s *Source) CanMint() bool { return s.minting }

// SharedIdentity reports whether all virtual users may be one and the same to
// the target, so that what one does is seen by another.
func (s *Source) SharedIdentity() bool { return s.shared }

// Anonymous reports that no Authorization header is ever sent.
func (s *Source) Anonymous() bool { return s.anonymous }

// Describe says in a few words where tokens come from. It holds no secret.
func (s *Source) Describe() string { return s.scheme.describe() }

// none sends no token.
type none struct{}

func (none) token(load.User, load.Credentials) (string, error) { return "", nil }

func (none) describe() string { return "no token" }

// static sends the same token for ever.
type static struct{ held *held }

func (s static) token(_ load.User, credentials load.Credentials) (string, error) {
	return s.held.as(credentials)
}

func (s static) describe() string { return "static token (" + s.held.kind() + ")" }
