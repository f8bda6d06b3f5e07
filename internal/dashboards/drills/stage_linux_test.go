package drills

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"soakd/internal/dashboards"
	"soakd/internal/localservices"
)

// The secrets of the drills are good for nothing else.
const (
	jwtSecret  = "drills-drills-drills-drills-drills"
	adminToken = "drills-admin"
)

// version is that of all APIs.
const version = "v1"

// stage is all that runs during the drills.
type stage struct {
	dir, binary string
	// backend and cache are what the APIs use. No drill touches them.
	backend *localservices.Postgres
	cache   *localservices.Redis
	// stores are those that are watched, and come to harm.
	stores *stores
	pages  *pages

	mu   sync.Mutex
	apis map[string]*program
	soak map[string]*program

	inbox        *inbox
	webhook      *httptest.Server
	alertmanager *localservices.Alertmanager
	prometheus   *localservices.Prometheus
}

// soakds are the instances, each with its settings and an API of its own but for
// those that share the API "quiet". Where one is disturbed, the others are not.
func (s *stage) soakds() map[string][]string {
	return map[string][]string{
		// Wrong and slow answers.
		"answers": {"SOAKD_RATE=20", "SOAKD_OBJECTIVES=availability: availability>=99%", "SOAKD_API_METRICS_URL=" + s.api("answers") + "/metrics", "SOAKD_CIRCUIT_ERROR_RATIO=0", "SOAKD_POSTGRES_CANARY_URL=" + s.backend.URL().Value()},
		// The target has too few connections, threads and files.
		"lacking": {"SOAKD_RATE=20", "SOAKD_API_METRICS_URL=" + s.api("lacking") + "/metrics", "SOAKD_CIRCUIT_ERROR_RATIO=0"},
		"budget":  {"SOAKD_RATE=40", "SOAKD_OBJECTIVES=availability: availability>=99%"},
		// No answers, and one request in flight.
		"hung": {"SOAKD_RATE=50", "SOAKD_MAX_IN_FLIGHT=1", "SOAKD_MAX_WAITING=200", "SOAKD_CIRCUIT_ERROR_RATIO=0"},
		// The target says: later.
		"held": {"SOAKD_MODEL=closed", "SOAKD_USERS=4", "SOAKD_THINK_TIME=500ms"},
		// It takes requests and does not answer.
		"stuck": {"SOAKD_RATE=10", "SOAKD_CIRCUIT_ERROR_RATIO=0"},
		// What takes hours to know: see past.
		"leaking":  {"SOAKD_RATE=10", "SOAKD_HISTORY_URL=" + s.pastPath("leaking"), "SOAKD_API_METRICS_URL=" + s.api("leaking") + "/metrics"},
		"dripping": {"SOAKD_RATE=10", "SOAKD_HISTORY_URL=" + s.pastPath("dripping"), "SOAKD_API_METRICS_URL=" + s.api("dripping") + "/metrics"},
		"slower":   {"SOAKD_RATE=10", "SOAKD_HISTORY_URL=" + s.pastPath("slower")},
		// Nothing but failures.
		"failing": {"SOAKD_RATE=20", "SOAKD_CIRCUIT_FOR=2s"},
		"away":    {"SOAKD_RATE=10"},
		// soakd itself is stopped now and then, or at once.
		"late": {"SOAKD_RATE=20", "SOAKD_LAG_LIMIT=10ms"}, "killed": {"SOAKD_RATE=5"},
		"limited": {"SOAKD_RATE=10", "SOAKD_CONNECTION_MAX_REQUESTS=1", "SOAKD_CIRCUIT_ERROR_RATIO=0"},
		"history": {"SOAKD_RATE=5", "SOAKD_HISTORY_URL=" + s.historyPath(), "SOAKD_REDIS_CANARY_URL=" + s.stores.redis.URL().Value()},
		"paused":  {"SOAKD_RATE=5", "SOAKD_ENABLE_LIFECYCLE=true"},
		"probes": {
			"SOAKD_RATE=5", "SOAKD_POSTGRES_URL=" + s.stores.postgres.MonitorURL().Value(),
			"SOAKD_POSTGRES_SERVERS=replica=" + s.stores.replica.MonitorURL().Value(), "SOAKD_REDIS_URL=" + s.stores.redis.URL().Value(), "SOAKD_REDIS_HIT_WINDOW=2s",
			"SOAKD_ENDPOINT_PROBES=front=" + s.pages.url("front") + "; flapping=" + s.pages.url("flapping"),
			"SOAKD_CERTIFICATE_PROBES=shop=" + s.pages.tlsAddress() + " ca=" + s.pages.authorities, "SOAKD_API_METRICS_URL=" + s.pages.url("metrics"),
		},
	}
}

// pastPath is the history of an instance that takes up an earlier run.
func (s *stage) pastPath(instance string) string { return filepath.Join(s.dir, instance+".db") }

func (s *stage) historyPath() string { return filepath.Join(s.dir, "history.db") }

// quiet are the soakds that share an API to which nothing is done.
func quiet() []string {
	return []string{"late", "killed", "history", "paused", "probes", "slower"}
}

// later are those that a drill starts.
func later() []string { return []string{"leaking", "dripping", "slower"} }

// api is the base address of an instance's API.
func (s *stage) api(instance string) string {
	if slices.Contains(quiet(), instance) {
		instance = "quiet"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return "http://" + s.apis[instance].address
}

// fault switches faults of an instance's API on: by name, with their parameters.
func (s *stage) faults(instance string, faults map[string]string) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, name := range slices.Sorted(maps.Keys(faults)) {
			text, status, err := ask(ctx, http.MethodPut, s.api(instance)+"/admin/faults/"+name, faults[name], adminToken)
			if err != nil || status != http.StatusOK {
				return fmt.Errorf("switch %s on: %d %s %w", name, status, text, err)
			}
		}
		return nil
	}
}

// well switches all faults of an instance's API off.
func (s *stage) well(instance string) func(context.Context) error {
	return func(ctx context.Context) error {
		text, status, err := ask(ctx, http.MethodDelete, s.api(instance)+"/admin/faults", "", adminToken)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("switch the faults off: %d %s %w", status, text, err)
		}
		return nil
	}
}

// openStage builds soakd and starts all.
func openStage(ctx context.Context, t *testing.T) *stage {
	t.Helper()
	s := &stage{dir: t.TempDir(), apis: map[string]*program{}, soak: map[string]*program{}, inbox: newInbox()}
	s.binary = filepath.Join(s.dir, "soakd")
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", s.binary, "./cmd/soakd")
	build.Dir = filepath.Join("..", "..", "..")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build soakd: %v\n%s", err, text)
	}
	s.webhook = httptest.NewServer(s.inbox)
	t.Cleanup(s.webhook.Close)
	s.openServers(ctx, t)
	s.openAPIs(ctx, t)
	s.pages = openPages(t, s.api("quiet"))
	s.openSoakds(ctx, t)
	s.openMonitoring(ctx, t)
	return s
}

// must ends the test for an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stopAtEnd stops a server at the end of the test.
func stopAtEnd(t *testing.T, stop func() error) {
	t.Helper()
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func (s *stage) openServers(ctx context.Context, t *testing.T) {
	t.Helper()
	var work sync.WaitGroup
	var errs [3]error
	work.Go(func() {
		s.backend, errs[0] = localservices.StartPostgres(ctx, localservices.Options{Settings: map[string]string{"max_connections": "150"}})
	})
	work.Go(func() { s.cache, errs[1] = localservices.StartRedis(ctx, localservices.Options{}) })
	s.stores = &stores{}
	work.Go(func() { errs[2] = s.stores.start(ctx) })
	work.Wait()
	if errs[0] == nil {
		stopAtEnd(t, s.backend.Stop)
	}
	if errs[1] == nil {
		stopAtEnd(t, s.cache.Stop)
	}
	stopAtEnd(t, s.stores.stop)
	must(t, errors.Join(errs[:]...))
	must(t, s.stores.connect(ctx))
}

// openAPIs starts an API for each instance that comes to harm by it, and the quiet one.
func (s *stage) openAPIs(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, name := range []string{"quiet", "answers", "hung", "held", "failing", "away", "limited", "stuck", "budget", "lacking", "leaking", "dripping"} {
		address, err := freeAddress()
		must(t, err)
		p := &program{
			path: s.binary, args: []string{"reference-api"}, address: address, ready: "/health",
			env: []string{
				"REFAPI_LISTEN=" + address, "REFAPI_POSTGRES_URL=" + s.backend.URL().Value(), "REFAPI_REDIS_URL=" + s.cache.URL().Value(), "REFAPI_JWT_SECRET=" + jwtSecret,
				"REFAPI_ADMIN_TOKEN=" + adminToken, "REFAPI_POOL_MAX_CONNS=8", "REFAPI_VERSION=" + version, "REFAPI_LOG_LEVEL=error", "REFAPI_APPLICATION_NAME=cashflow-api",
			},
		}
		if name == "lacking" {
			p.env = append(p.env, "REFAPI_CALCULATION_THREADS=1")
		}
		t.Cleanup(p.stop)
		s.apis[name] = p
	}
	must(t, together(s.apis, func(p *program) error { return p.start(ctx) }))
}

// together does something with all programs at the same time.
func together(all map[string]*program, do func(*program) error) error {
	var work sync.WaitGroup
	errs := make(chan error, len(all))
	for name, p := range all {
		work.Go(func() {
			if err := do(p); err != nil {
				_, output := p.died()
				errs <- fmt.Errorf("%s: %w\n%s", name, err, output)
			}
		})
	}
	work.Wait()
	close(errs)
	var joined error
	for err := range errs {
		joined = errors.Join(joined, err)
	}
	return joined
}

func (s *stage) openSoakds(ctx context.Context, t *testing.T) {
	t.Helper()
	for name, settings := range s.soakds() {
		address, err := freeAddress()
		must(t, err)
		p := &program{path: s.binary, args: []string{"run"}, address: address, ready: "/-/ready"}
		values := map[string]string{
			"SOAKD_TARGET_URL": s.api(name), "SOAKD_JWT_SECRET": jwtSecret, "SOAKD_LISTEN": address, "SOAKD_USER_PREFIX": "drill-" + name, "SOAKD_USERS": "4",
			"SOAKD_PROBE_INTERVAL": "1s", "SOAKD_PROBE_TIMEOUT": "1s", "SOAKD_PROGRESS_INTERVAL": "0s", "SOAKD_HISTORY_URL": "none", "SOAKD_OBJECTIVES": "none",
			// The machine may be busy with other tests.
			"SOAKD_LAG_LIMIT": "1s", "SOAKD_CPU_LIMIT": "1",
		}
		for _, setting := range settings {
			name, value, _ := strings.Cut(setting, "=")
			values[name] = value
		}
		for name, value := range values {
			p.env = append(p.env, name+"="+value)
		}
		t.Cleanup(p.stop)
		s.soak[name] = p
	}
	atOnce := maps.Clone(s.soak)
	for _, name := range later() {
		delete(atOnce, name)
	}
	must(t, together(atOnce, func(p *program) error { return p.start(ctx) }))
}

// openMonitoring starts Alertmanager and Prometheus.
func (s *stage) openMonitoring(ctx context.Context, t *testing.T) {
	t.Helper()
	config, err := routes(s.webhook.URL)
	must(t, err)
	s.alertmanager, err = localservices.StartAlertmanager(ctx, config, localservices.Options{Dir: s.dir})
	must(t, err)
	stopAtEnd(t, s.alertmanager.Stop)
	rules, err := dashboards.RulesYAML(shortened())
	must(t, err)
	file := filepath.Join(s.dir, "rules.yaml")
	must(t, os.WriteFile(file, rules, 0o600))
	manager, err := url.Parse(s.alertmanager.URL())
	must(t, err)
	var text strings.Builder
	fmt.Fprintf(&text, "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nalerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}\n"+
		"scrape_configs:\n  - job_name: soakd\n    static_configs:\n", file, manager.Host)
	for _, name := range slices.Sorted(maps.Keys(s.soak)) {
		fmt.Fprintf(&text, "      - {targets: [%q], labels: {instance: %q}}\n", s.soak[name].address, name)
	}
	s.prometheus, err = localservices.StartPrometheus(ctx, text.String(), localservices.Options{Dir: s.dir, Settings: map[string]string{
		// Alertmanager takes an alert for resolved that it was not told of for four times this.
		"rules.alert.resend-delay": "5s",
		// Classic histograms, as the rules of the default settings read them.
		"enable-feature": "exemplar-storage",
	}})
	must(t, err)
	stopAtEnd(t, s.prometheus.Stop)
}
