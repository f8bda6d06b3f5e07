package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"soakd/internal/load"
	"soakd/internal/load/schedule"
)

// configOf reads a configuration from flags alone.
func configOf(t *testing.T, args ...string) (*config, error) {
	t.Helper()
	return readConfig(command{name: "run"}, append([]string{"--target-url", "http://127.0.0.1:1"}, args...), io.Discard)
}

func TestLoadIsDescribed(t *testing.T) {
	recorded := filepath.Join(t.TempDir(), "rates.csv")
	if err := os.WriteFile(recorded, []byte("0,5\n60,20\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "open model, 50 arrivals a second, even spacing"},
		{
			[]string{"--rate", "0.5", "--spacing", "poisson", "--ramp-up", "10s", "--tick", "5ms", "--shard", "2/5", "--max-rate", "200"},
			"open model, 0.5 arrivals a second, rising over 10s, poisson spacing, due times rounded up to ticks of 5ms, shard 2 of 5, never above 200 a second",
		},
		{[]string{"--shape", "ramp:from=10,to=200,over=10m"}, "open model, shape ramp:from=10,to=200,over=10m with at most 200 a second, even spacing"},
		{[]string{"--rate", "20", "--shape", "spike:to=500,every=1h"}, "open model, 20 arrivals a second, shape spike:to=500,every=1h with at most 500 a second, even spacing"},
		{[]string{"--shape", "replay:" + recorded}, "open model, shape replay:" + recorded + " with at most 20 a second, even spacing"},
		{[]string{"--model", "closed"}, "closed model, 20 users, all at once, think time 0s"},
		{
			[]string{"--model", "closed", "--users", "7", "--spawn-rate", "0.5", "--think-time", "1s..5s", "--user-pacing", "3s", "--max-rate", "2.5"},
			"closed model, 7 users, 0.5 more a second, think time 1s..5s, at least 3s from request to request, together never above 2.5 a second",
		},
	} {
		cfg, err := configOf(t, test.args...)
		if err != nil {
			t.Errorf("%q: %v", test.args, err)
			continue
		}
		if got := cfg.loadSettings.describe(); got != test.want {
			t.Errorf("%q: got\n%s\nwant\n%s", test.args, got, test.want)
		}
	}
}

func TestConnectionsAreDescribed(t *testing.T) {
	t.Setenv("SOAKD_PROXY_URL", "http://soakd:hunter2@proxy.test:3128")
	cfg, err := configOf(t, "--http-version", "1.1")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cfg.connectionSettings.describe(cfg.TargetURL), "HTTP/1.1, through the proxy http://proxy.test:3128"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	t.Setenv("SOAKD_PROXY_URL", "")
	cfg, err = configOf(t, "--target-url", "https://api.test", "--target-socket", "/run/api", "--tls-insecure-skip-verify")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cfg.connectionSettings.describe(cfg.TargetURL), "HTTP/2 or 1.1, as TLS agrees, unix socket /run/api, certificate of the target not verified"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What a person sets is what the engine is given.
func TestArrivalsAreAsSet(t *testing.T) {
	cfg, err := configOf(t, "--rate", "10", "--shard", "2/4", "--tick", "1s")
	if err != nil {
		t.Fatal(err)
	}
	arrivals, err := cfg.arrivals()
	if err != nil {
		t.Fatal(err)
	}
	// The second of four takes the arrivals 1, 5, 9, ..., 100 ms apart, at full seconds.
	for _, want := range []struct {
		n   int64
		due time.Duration
	}{{1, time.Second}, {5, time.Second}, {9, time.Second}, {13, 2 * time.Second}} {
		if n, due, ok := arrivals.Peek(); n != want.n || due != want.due || !ok {
			t.Errorf("arrival %d due at %v, %v; want %d at %v", n, due, ok, want.n, want.due)
		}
		arrivals.Advance()
	}
	if rate := cfg.rate(); rate != 2.5 {
		t.Errorf("a quarter of 10 a second is %v", rate)
	}
	if got := cfg.userPrefix(); got != "soakd-2" {
		t.Errorf("the users of the second shard are called %s", got)
	}
	cfg, err = configOf(t, "--rate", "10", "--spacing", "poisson", "--seed", "7")
	if err != nil {
		t.Fatal(err)
	}
	if arrivals, err = cfg.arrivals(); err != nil {
		t.Fatal(err)
	}
	other, err := schedule.NewArrivals(arrivals.Shape(), schedule.Options{Poisson: true, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	_, due, _ := arrivals.Peek()
	if _, want, _ := other.Peek(); due != want || due == 0 {
		t.Errorf("the first Poisson arrival is due at %v, want %v", due, want)
	}
}

// A day curve starts where the clock on the wall stands.
func TestDayCurveStartsAtTheTimeOfDay(t *testing.T) {
	zone := time.FixedZone("TEST", 2*3600)
	s := loadSettings{Model: modelOpen, Spacing: spacingEven, Shape: "day:min=10,max=100,peak=14:00", Shard: shard{1, 1}}
	var m mistakes
	s.validateShape(&m, time.Date(2026, 3, 1, 14, 0, 0, 0, zone))
	if len(m) > 0 || s.shape.RateAt(0).PerSecond() != 100 {
		t.Errorf("%v; at its peak the rate is %v", m, s.shape.RateAt(0))
	}
	if got := s.describe(); !strings.Contains(got, ", begun at 14:00:00 TEST,") {
		t.Errorf("got %q", got)
	}
	s.validateShape(&m, time.Date(2026, 3, 1, 2, 0, 0, 0, zone))
	if len(m) > 0 || s.shape.RateAt(0).PerSecond() != 10 {
		t.Errorf("%v; half a day away it is %v", m, s.shape.RateAt(0))
	}
}

func TestManners(t *testing.T) {
	cfg, err := configOf(t, "--circuit-error-ratio", "0", "--retry-after-max", "0s", "--max-rate", "80")
	if err != nil {
		t.Fatal(err)
	}
	manners, err := cfg.manners(true)
	if err != nil || manners.Circuit != nil || manners.Retry.Max != 0 || manners.Ceiling != 80_000_000 || !manners.SharedIdentity {
		t.Errorf("%+v, %v; want no circuit, nothing obeyed, a ceiling of 80", manners, err)
	}
	if cfg, err = configOf(t); err != nil {
		t.Fatal(err)
	}
	manners, err = cfg.manners(false)
	if err != nil || manners.Circuit == nil || manners.Retry.Max != 5*time.Minute || manners.Ceiling != 0 {
		t.Errorf("%+v, %v; want a circuit, 5 minutes and no ceiling", manners, err)
	}
}

// Each text that cannot be read says what would be right, as a flag and as a variable.
func TestTextsAreRead(t *testing.T) {
	for text, want := range map[string]shard{"1/1": {1, 1}, "2/5": {2, 5}, "10000/10000": {10_000, 10_000}} {
		var s shard
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: %+v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "0/5", "6/5", "2", "2/", "/5", "-1/5", "1/10001", "1/5/5", "a/b", " 1/5"} {
		var s shard
		if err := s.UnmarshalText([]byte(text)); err == nil || !strings.HasSuffix(err.Error(), "is not a shard: give its number and how many there are, up to 10000, such as 2/5") {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
	for text, want := range map[string]ceiling{"0": 0, "0.5": 500_000, "1000000": ceiling(schedule.MaxRate)} {
		var c ceiling
		if err := c.UnmarshalText([]byte(text)); err != nil || c != want {
			t.Errorf("%s: %v, %v", text, c, err)
		}
	}
	for _, text := range []string{"", "-1", "1000001", "many", "1e3"} {
		var c ceiling
		if err := c.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "is neither 0 (no ceiling) nor a rate") {
			t.Errorf("%q: %v, %v", text, c, err)
		}
	}
	if _, err := configOf(t, "--think-time", "5s..1s"); err == nil || !strings.Contains(err.Error(), `--think-time: "5s..1s" is not a think time: give a time such as 1s`) {
		t.Errorf("got %v", err)
	}
}

// The list bounds the addresses that the target's name resolves to.
func TestAddressOutsideTheNetworksIsRefused(t *testing.T) {
	cfg, err := configOf(t, "--target-url", "http://localhost:1", "--allowed-hosts", "localhost,10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	made, err := newTraffic(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, err = load.Reach(t.Context(), made.client)
	if err == nil || !strings.Contains(err.Error(), "is in none of the networks of SOAKD_ALLOWED_HOSTS (localhost, 10.0.0.0/8)") {
		t.Errorf("got %v", err)
	}
	var usage usageError
	if _, err := configOf(t, "--target-url", "http://10.1.2.3:1", "--allowed-hosts", "10.0.0.0/8"); err != nil {
		t.Errorf("an address of the network: %v", err)
	}
	if _, err := configOf(t, "--target-url", "http://11.1.2.3:1", "--allowed-hosts", "10.0.0.0/8"); !errors.As(err, &usage) {
		t.Errorf("an address outside: %v", err)
	}
}
