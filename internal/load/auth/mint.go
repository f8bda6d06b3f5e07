package auth

import (
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"soakd/internal/load"
)

const (
	// renewLatest and renewSpread: a token is renewed when 70..80 % of its life
	// are over, each virtual user at its own moment, so that a thousand users who
	// started together do not all sign at once.
	renewLatest = 0.80
	renewSpread = 0.10
	// expiredFor is how long an expired token has been so: far beyond any leeway.
	expiredFor = time.Hour
	// backdate is how far iat lies in the past. Some validators refuse a token
	// from the future, which is what it looks like to a clock that is a little behind.
	backdate = 5 * time.Second
)

// mint signs a token for each virtual user and keeps it until it must be renewed.
type mint struct {
	key, otherKey []byte
	audience      string
	ttl           time.Duration
	now           func() time.Time

	mu    sync.RWMutex
	users map[string]*slot
}

// slot holds the present token of one user.
type slot struct{ current atomic.Pointer[minted] }

type minted struct {
	token string
	// from and renew bound the time in which the token is used.
	from, renew time.Time
}

func newMint(cfg Config) *mint {
	return &mint{
		key:      []byte(cfg.JWTSecret.Value()),
		otherKey: randomKey(),
		audience: cfg.JWTAudience,
		ttl:      cfg.JWTTTL,
		now:      cfg.Now,
		users:    make(map[string]*slot),
	}
}

func (m *mint) token(user load.User, credentials load.Credentials) (string, error) {
	now := m.now()
	switch credentials {
	case load.UserToken:
		return m.good(user, now)
	case load.ForgedToken:
		return m.sign(m.otherKey, user, now, now.Add(m.ttl))
	case load.ExpiredToken:
		expired := now.Add(-expiredFor)
		return m.sign(m.key, user, expired.Add(-m.ttl), expired)
	default:
		return "", fmt.Errorf("unknown credentials %d", credentials)
	}
}

// good returns the user's token, a new one when the last is nearly over. Two
// callers may renew at once: both tokens are good.
func (m *mint) good(user load.User, now time.Time) (string, error) {
	slot := m.slot(user.ID)
	if last := slot.current.Load(); last != nil && !now.Before(last.from) && now.Before(last.renew) {
		return last.token, nil
	}
	token, err := m.sign(m.key, user, now, now.Add(m.ttl))
	if err != nil {
		return "", err
	}
	life := time.Duration(renewAt(user.ID) * float64(m.ttl))
	// The token's own times are whole seconds, rounded down.
	from := now.Truncate(time.Second)
	slot.current.Store(&minted{token: token, from: from, renew: from.Add(life)})
	return token, nil
}

// slot returns the place of a user's token; there is one for each user ever seen.
func (m *mint) slot(id string) *slot {
	m.mu.RLock()
	found := m.users[id]
	m.mu.RUnlock()
	if found != nil {
		return found
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.users[id] == nil {
		m.users[id] = new(slot)
	}
	return m.users[id]
}

func (m *mint) sign(key []byte, user load.User, issued, expires time.Time) (string, error) {
	claims := jwt.MapClaims{
		"sub": user.ID,
		"iat": issued.Add(-backdate).Unix(),
		"exp": expires.Unix(),
	}
	if m.audience != "" {
		claims["aud"] = m.audience
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(key)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return token, nil
}

// renewAt is the share of a token's life after which a user's is renewed.
func renewAt(id string) float64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(id)) // never fails
	// FNV hardly stirs its high bits for ids that differ in the last digits only:
	// multiply by 2^64/phi (Knuth, 6.4) and take the middle.
	share := float64(uint32(hash.Sum64()*0x9e3779b97f4a7c15>>32)) / (1 << 32)
	return renewLatest - renewSpread*share
}

func (m *mint) describe() string {
	if m.audience == "" {
		return fmt.Sprintf("HS256 tokens minted for each virtual user, good for %v", m.ttl)
	}
	return fmt.Sprintf("HS256 tokens minted for each virtual user, good for %v, audience %q", m.ttl, m.audience)
}
