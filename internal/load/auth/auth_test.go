package auth_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"soakd/internal/load"
	"soakd/internal/load/auth"
	"soakd/internal/secret"
)

const key = "a test key that nobody else has, 32 b"

func mustNew(t *testing.T, cfg auth.Config, log *slog.Logger) *auth.Source {
	t.Helper()
	source, err := auth.New(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func mustToken(t *testing.T, source *auth.Source, user load.User, credentials load.Credentials) string {
	t.Helper()
	token, err := source.Token(user, credentials)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// parse verifies token as a target would and returns its claims.
func parse(token, key string, options ...jwt.ParserOption) (jwt.MapClaims, error) {
	claims := jwt.MapClaims{}
	options = append(options, jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	_, err := jwt.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return []byte(key), nil }, options...)
	return claims, err
}

func signed(t testing.TB, method jwt.SigningMethod, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, claims).SignedString([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	directory := t.TempDir()
	empty := filepath.Join(directory, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		cfg  auth.Config
		want []string
	}{
		{"two kinds", auth.Config{Token: secret.New("hush-token"), JWTSecret: secret.New("hush-key")}, []string{"a static token and a JWT secret are given: give only one"}},
		{"three kinds", auth.Config{Token: secret.New("hush"), TokenFile: "x", JWTSecret: secret.New("hush")}, []string{"a static token and a token file and a JWT secret"}},
		{"short life", auth.Config{JWTSecret: secret.New("hush"), JWTTTL: 9 * time.Second}, []string{"9s: it must be at least 10s"}},
		{"prefix", auth.Config{UserPrefix: "a b"}, []string{`"a b"`, "printable ASCII"}},
		{"long prefix", auth.Config{UserPrefix: strings.Repeat("x", 65)}, []string{"1..64 characters"}},
		{"all at once", auth.Config{JWTTTL: 1, UserPrefix: "\n"}, []string{"at least 10s", "printable"}},
		{"bearer", auth.Config{Token: secret.New("Bearer hush")}, []string{"the static token", "give the token alone"}},
		{"white space", auth.Config{Token: secret.New("hu\nsh")}, []string{"white space"}},
		{"long token", auth.Config{Token: secret.New(strings.Repeat("x", 8<<10+1))}, []string{"8193 bytes"}},
		{"no file", auth.Config{TokenFile: filepath.Join(directory, "absent")}, []string{"token file", "absent", "no such file"}},
		{"empty file", auth.Config{TokenFile: empty}, []string{"token file", "is empty"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := auth.New(test.cfg, nil)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("error %q holds the secret", err)
			}
		})
	}
}

func TestNoToken(t *testing.T) {
	source := mustNew(t, auth.Config{}, nil)
	for _, credentials := range []load.Credentials{load.UserToken, load.NoToken, load.ForgedToken, load.ExpiredToken} {
		if token := mustToken(t, source, source.User(0), credentials); token != "" {
			t.Errorf("credentials %d: token %q, want none", credentials, token)
		}
	}
	if got := source.User(11).ID; got != "soakd-0012" {
		t.Errorf("user 11 is %q", got)
	}
	if source.CanMint() || !source.SharedIdentity() || !source.Anonymous() || source.Describe() != "no token" {
		t.Errorf("CanMint %v, SharedIdentity %v, Anonymous %v, %q", source.CanMint(), source.SharedIdentity(), source.Anonymous(), source.Describe())
	}
}

func TestStaticToken(t *testing.T) {
	opaque := "0123456789abcdef"
	good := signed(t, jwt.SigningMethodHS256, jwt.MapClaims{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "role": "tester"})
	strong := signed(t, jwt.SigningMethodHS512, jwt.MapClaims{"sub": "alice"})
	tests := []struct{ name, token, user string }{
		{"opaque", opaque, ""},
		{"jwt", good, "alice"},
		{"another algorithm", strong, "alice"},
		{"jwt without sub", signed(t, jwt.SigningMethodHS256, jwt.MapClaims{"exp": 1}), ""},
		{"jwt of an unknown algorithm", "eyJhbGciOiJYWVoifQ.e30.", ""},
		{"like a jwt", "a.b.c", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			source := mustNew(t, auth.Config{Token: secret.New(test.token), UserPrefix: "vu"}, nil)
			user := source.User(2)
			if user != (load.User{Index: 2, ID: test.user}) {
				t.Errorf("user is %+v, want %s", user, test.user)
			}
			if got := mustToken(t, source, user, load.UserToken); got != test.token {
				t.Errorf("token is %q", got)
			}
			if got := mustToken(t, source, user, load.NoToken); got != "" {
				t.Errorf("no token is %q", got)
			}
			if _, err := source.Token(user, load.ExpiredToken); !errors.Is(err, auth.ErrCannotMint) {
				t.Errorf("expired token: %v", err)
			}
			forged := mustToken(t, source, user, load.ForgedToken)
			if forged == test.token || forged == "" {
				t.Errorf("forged token is %q", forged)
			}
			if source.CanMint() || !source.SharedIdentity() || source.Anonymous() {
				t.Error("a static token is one identity for all and cannot be minted")
			}
			if strings.Contains(source.Describe(), test.token) {
				t.Errorf("%q holds the token", source.Describe())
			}
		})
	}
}

func TestForgedStaticToken(t *testing.T) {
	claims := jwt.MapClaims{"sub": "alice", "exp": float64(time.Now().Add(time.Hour).Unix()), "iat": float64(time.Now().Unix()), "role": "tester"}
	source := mustNew(t, auth.Config{Token: secret.New(signed(t, jwt.SigningMethodHS256, claims))}, nil)
	forged := mustToken(t, source, source.User(0), load.ForgedToken)
	got, err := parse(forged, key)
	if !errors.Is(err, jwt.ErrTokenSignatureInvalid) {
		t.Fatalf("the target would say %v, want an invalid signature", err)
	}
	for name, want := range claims {
		if got[name] != want {
			t.Errorf("claim %s is %v, want %v", name, got[name], want)
		}
	}
}

func TestOpaqueForgeryKeepsTheLength(t *testing.T) {
	for _, n := range []int{1, 26, 27, 100} {
		source := mustNew(t, auth.Config{Token: secret.New(strings.Repeat("!", n))}, nil)
		if forged := mustToken(t, source, source.User(0), load.ForgedToken); len(forged) != n || strings.Contains(forged, "!") {
			t.Errorf("forgery of %d characters is %q", n, forged)
		}
	}
}

func TestMintedTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := mustNew(t, auth.Config{JWTSecret: secret.New(key), JWTAudience: "cashflow", UserPrefix: "vu"}, nil)
		if !source.CanMint() || source.SharedIdentity() || source.Anonymous() {
			t.Error("minted tokens are for separate users")
		}
		user := source.User(0)
		if user.ID != "vu-0001" {
			t.Errorf("user is %q", user.ID)
		}
		claims, err := parse(mustToken(t, source, user, load.UserToken), key, jwt.WithAudience("cashflow"), jwt.WithSubject("vu-0001"))
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		if got := claims["exp"].(float64); got != float64(now.Add(time.Hour).Unix()) {
			t.Errorf("exp is %v", got)
		}
		if got := claims["iat"].(float64); got != float64(now.Add(-5*time.Second).Unix()) {
			t.Errorf("iat is %v", got)
		}

		claims, err = parse(mustToken(t, source, user, load.ExpiredToken), key)
		if !errors.Is(err, jwt.ErrTokenExpired) || errors.Is(err, jwt.ErrTokenSignatureInvalid) {
			t.Errorf("expired token: %v", err)
		}
		if got := claims["exp"].(float64); got != float64(now.Add(-time.Hour).Unix()) {
			t.Errorf("exp of the expired token is %v", got)
		}

		forged := mustToken(t, source, user, load.ForgedToken)
		if _, err := parse(forged, key); !errors.Is(err, jwt.ErrTokenSignatureInvalid) {
			t.Errorf("forged token: %v", err)
		}
		if claims, _, err := jwt.NewParser().ParseUnverified(forged, jwt.MapClaims{}); err != nil || claims.Claims.(jwt.MapClaims)["sub"] != "vu-0001" {
			t.Errorf("forged token: claims %v, %v", claims, err)
		}
		if _, err := source.Token(user, load.Credentials(99)); err == nil {
			t.Error("unknown credentials: no error")
		}
		if d := source.Describe(); strings.Contains(d, key) || !strings.Contains(d, `1h0m0s, audience "cashflow"`) {
			t.Errorf("described as %q", d)
		}
	})
}

func TestNoAudienceMeansNoClaim(t *testing.T) {
	source := mustNew(t, auth.Config{JWTSecret: secret.New(key)}, nil)
	claims, err := parse(mustToken(t, source, source.User(0), load.UserToken), key)
	if err != nil {
		t.Fatal(err)
	}
	if aud, found := claims["aud"]; found {
		t.Errorf("aud is %v", aud)
	}
}

// A token must never be used after it expired, and not all at once be renewed.
func TestRenewal(t *testing.T) {
	for _, ttl := range []time.Duration{10 * time.Second, time.Hour} {
		t.Run(ttl.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(700 * time.Millisecond) // off the whole second; the clock is fake
				source := mustNew(t, auth.Config{JWTSecret: secret.New(key), JWTTTL: ttl}, nil)
				const users = 100
				start := time.Now()
				used := make([]string, users)
				for i := range used {
					used[i] = mustToken(t, source, source.User(i), load.UserToken)
				}
				renewed := make(map[time.Duration]int) // at which tenth of a percent of the life
				for step := range 500 {
					time.Sleep(ttl / 500)
					for i, old := range used {
						token := mustToken(t, source, source.User(i), load.UserToken)
						if token != old {
							renewed[time.Since(start)*1000/ttl]++
							used[i] = token
						}
						if step%10 != 0 && token == old {
							continue // checking signatures is what takes the time
						}
						if _, err := parse(token, key); err != nil {
							t.Fatalf("at %v user %d sends a token that is refused: %v", time.Since(start), i, err)
						}
					}
				}
				total := 0
				for at, n := range renewed {
					total += n
					// The life counts from the whole second below, which is 7 % of 10 s.
					if at < 625 || at > 801 {
						t.Errorf("%d renewed at %.1f %% of the life", n, float64(at)/10)
					}
					if n > users/10 {
						t.Errorf("%d of %d renewed at once", n, users)
					}
				}
				if total != users {
					t.Errorf("%d of %d were renewed", total, users)
				}
			})
		})
	}
}

func TestRenewalWhenTheClockWasSetBack(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	source := mustNew(t, auth.Config{JWTSecret: secret.New(key), Now: func() time.Time { return now }}, nil)
	mustToken(t, source, source.User(0), load.UserToken)
	now = now.Add(-10 * time.Minute)
	token := mustToken(t, source, source.User(0), load.UserToken)
	if _, err := parse(token, key, jwt.WithTimeFunc(func() time.Time { return now })); err != nil {
		t.Errorf("after the clock was set back: %v", err)
	}
}

func TestTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		// As a secret store does it: a new file, then a rename.
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	var lines bytes.Buffer
	log := slog.New(slog.NewTextHandler(&lines, nil))
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	write("first\n")
	source := mustNew(t, auth.Config{TokenFile: path, Now: func() time.Time { return now }}, log)
	user := source.User(0)
	expect := func(what, want string, logged ...string) {
		t.Helper()
		for range 3 { // the second and third must not log again
			if got := mustToken(t, source, user, load.UserToken); got != want {
				t.Errorf("%s: token %q, want %q", what, got, want)
			}
			now = now.Add(time.Second)
		}
		if got := strings.Count(lines.String(), "\n"); got != len(logged) {
			t.Errorf("%s: %d lines logged, want %d:\n%s", what, got, len(logged), lines.String())
		}
		for _, text := range logged {
			if !strings.Contains(lines.String(), text) {
				t.Errorf("%s: %q was not logged:\n%s", what, text, lines.String())
			}
		}
		if strings.Contains(lines.String(), "first") || strings.Contains(lines.String(), "third") {
			t.Errorf("%s: a token was logged:\n%s", what, lines.String())
		}
		lines.Reset()
	}
	expect("at first", "first")

	// Within a second of the last look (which expect made) nothing is looked at.
	now = now.Add(-time.Millisecond)
	write("third") // as long as the first
	if got := mustToken(t, source, user, load.UserToken); got != "first" {
		t.Errorf("looked at the file again within a second: %q", got)
	}
	now = now.Add(time.Millisecond)
	expect("changed", "third", "its new token is in use")

	write("")
	expect("emptied", "third", "is empty")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expect("removed", "third", "no such file")
	write("two words")
	expect("unusable", "third", "white space")
	write("fourth")
	expect("good again", "fourth", "its new token is in use", "can be used again")

	// A clock that was set back does not stop the looking.
	now = now.Add(-24 * time.Hour)
	write("fifth")
	expect("clock set back", "fifth", "its new token is in use")
	if source.CanMint() || !source.SharedIdentity() || !strings.Contains(source.Describe(), path) {
		t.Errorf("CanMint %v, SharedIdentity %v, %q", source.CanMint(), source.SharedIdentity(), source.Describe())
	}
}

func TestTokenFileWithJWT(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	of := func(subject string) string {
		return signed(t, jwt.SigningMethodHS256, jwt.MapClaims{"sub": subject, "exp": time.Now().Add(-time.Minute).Unix()})
	}
	write(of("bob"))
	var lines bytes.Buffer
	now := time.Now()
	source := mustNew(t, auth.Config{TokenFile: path, Now: func() time.Time { return now }}, slog.New(slog.NewTextHandler(&lines, nil)))
	if !strings.Contains(lines.String(), "the token has expired") {
		t.Errorf("an expired token is not mentioned: %s", lines.String())
	}
	// agree requires that a user who is drawn now is want and has a token for want.
	agree := func(what string, user load.User, want string) {
		t.Helper()
		if user != (load.User{Index: 4, ID: want}) {
			t.Errorf("%s: user is %+v, want %q", what, user, want)
		}
		token := mustToken(t, source, user, load.UserToken)
		if want == "" {
			if token != "opaque" {
				t.Errorf("%s: token is %q", what, token)
			}
			return
		}
		if claims, _ := parse(token, key); claims["sub"] != want {
			t.Errorf("%s: the token is for %v, X-User-ID says %s", what, claims["sub"], want)
		}
	}
	agree("at first", source.User(4), "bob")
	before := source.User(4)

	now = now.Add(2 * time.Second)
	write(of("caroline"))
	agree("drawn before the change", before, "bob") // the token's reading finds the change
	if !strings.Contains(lines.String(), "another subject") {
		t.Errorf("another subject is not mentioned: %s", lines.String())
	}
	agree("drawn after the change", source.User(4), "caroline")

	// Here the drawing of the user is what finds the change.
	now = now.Add(2 * time.Second)
	write("opaque")
	agree("opaque", source.User(4), "")
	now = now.Add(2 * time.Second)
	write(of("dave"))
	agree("a JWT again", source.User(4), "dave")

	// A user of long ago gets the present token, not one that is out of use.
	if claims, _ := parse(mustToken(t, source, before, load.UserToken), key); claims["sub"] != "dave" {
		t.Errorf("an old user has the token of %v", claims["sub"])
	}
}

// Meant for the race detector: everything at once, renewals included.
func TestConcurrentUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("token"), 0o600); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(100 * time.Millisecond)
		return now
	}
	for _, cfg := range []auth.Config{{TokenFile: path, Now: clock}, {JWTSecret: secret.New(key), JWTTTL: 10 * time.Second, Now: clock}} {
		source := mustNew(t, cfg, nil)
		var group sync.WaitGroup
		for worker := range 8 {
			group.Go(func() {
				for i := range 200 {
					token, err := source.Token(source.User((worker+i)%5), load.UserToken)
					if err != nil || token == "" {
						t.Errorf("token %q, %v", token, err)
						return
					}
				}
			})
		}
		group.Wait()
	}
}

func FuzzStaticToken(f *testing.F) {
	f.Add("opaque")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(signed(f, jwt.SigningMethodHS384, jwt.MapClaims{"sub": "x", "exp": "soon"}))
	f.Fuzz(func(t *testing.T, text string) {
		source, err := auth.New(auth.Config{Token: secret.New(text)}, nil)
		if err != nil {
			return
		}
		for _, credentials := range []load.Credentials{load.UserToken, load.ForgedToken} {
			token, err := source.Token(source.User(0), credentials)
			if err != nil {
				t.Fatal(err)
			}
			if strings.ContainsFunc(token+source.User(0).ID, func(r rune) bool { return r <= ' ' || r > '~' }) {
				t.Fatalf("%q cannot be sent in a header", token)
			}
		}
	})
}

func BenchmarkToken(b *testing.B) {
	path := filepath.Join(b.TempDir(), "token")
	if err := os.WriteFile(path, []byte("token"), 0o600); err != nil {
		b.Fatal(err)
	}
	for _, cfg := range []auth.Config{{Token: secret.New("token")}, {TokenFile: path}, {JWTSecret: secret.New(key)}} {
		source, err := auth.New(cfg, nil)
		if err != nil {
			b.Fatal(err)
		}
		users := make([]load.User, 1000)
		for i := range users {
			users[i] = source.User(i)
		}
		b.Run(fmt.Sprintf("%.12s", source.Describe()), func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				if _, err := source.Token(users[i%len(users)], load.UserToken); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
