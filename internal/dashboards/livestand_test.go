package dashboards

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/history"
	"soakd/internal/judge/simulate"
	"soakd/internal/localservices"
	"soakd/internal/lockedbuffer"
	"soakd/internal/pastrun"
	"soakd/internal/secret"
)

// The jobs of the stand.
const (
	// demoJob is `soakd demo` as everybody can start it.
	demoJob = "soakd"
	// largeJob is a soakd that has run for hours on a larger installation: Postgres
	// with a replica, Redis with a replica and a sentinel.
	largeJob = "large"
	// clusterJob is a soakd with virtual users, a Redis Cluster and an API that is
	// made of other parts than the reference API.
	clusterJob = "cluster"
)

// stand is what the live test looks at: three soakds and all that they watch.
type stand struct {
	binary  string
	demo    *process
	around  *surroundings
	large   installation
	large2  *process
	cluster *process
	// soakds are all of them by their job.
	soakds map[string]*process
}

// installation is what the large soakd watches.
type installation struct {
	jwt               secret.String
	postgres, replica *localservices.Postgres
	master, copy      *localservices.Redis
	sentinel, alone   *localservices.Redis
	api               *localservices.Program
	foreign           *httptest.Server
}

// redisPassword is that of the stand's Redis servers, which listen on the loopback
// interface alone. Sentinels and replicas must know it.
const redisPassword = "stand"

func startStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{binary: buildSoakd(t), around: startSurroundings(t)}
	t.Cleanup(s.around.stop)
	s.demo = startDemo(t, s.binary, s.around)
	s.large.start(t, s.binary)
	s.large2 = s.startLarge(t)
	s.cluster = s.startCluster(t)
	s.soakds = map[string]*process{demoJob: s.demo, largeJob: s.large2, clusterJob: s.cluster}
	return s
}

func buildSoakd(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "soakd")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", binary, "./cmd/soakd")
	build.Dir = filepath.Join("..", "..")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build soakd: %v\n%s", err, text)
	}
	// The reference API is run by it as an ordinary child.
	return binary
}

// startDemo starts `soakd demo` with something for each kind of probe to watch.
func startDemo(t *testing.T, binary string, around *surroundings) *process {
	t.Helper()
	// The duration is a bound for the case that this test cannot stop it.
	demo := startSoakd(t, binary, append(around.env(), // Other than demos do, this one keeps what it sees.
		"SOAKD_HISTORY_URL="+filepath.Join(t.TempDir(), "history.db"), "SOAKD_PUSHGATEWAY_URL="+startPushgateway(t), "SOAKD_PUSH_INTERVAL=2s"),
		"demo", "--duration", "10m", "--rate", "50",
		"--listen", "127.0.0.1:0", "--probe-interval", "1s", "--probe-timeout", "1s", "--progress-interval", "5s",
		// Statements that run on every demo from its first second on: soakd's own.
		"--postgres-statements", "activity=pg_stat_activity",
		// The thresholds of the slow log and the latency monitor.
		"--redis-read-config")
	around.write(t, filepath.Base(around.pidFile()), strconv.Itoa(demo.cmd.Process.Pid))
	return demo
}

// startPushgateway starts a Pushgateway and returns its address.
func startPushgateway(t *testing.T) string {
	t.Helper()
	server, err := localservices.StartPushgateway(t.Context(), localservices.Options{})
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, server)
	return server.URL()
}

// start starts everything, and stops it at the end of the test.
func (in *installation) start(t *testing.T, binary string) {
	t.Helper()
	in.jwt = secret.New("the stand's own secret for tokens")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	in.postgres, err = localservices.StartPostgres(t.Context(), localservices.Options{Settings: map[string]string{
		"track_wal_io_timing": "on", "track_functions": "all", "wal_level": "logical", "log_lock_waits": "on",
	}})
	must(err)
	stopAtEnd(t, in.postgres)
	in.replica, err = localservices.StartPostgresReplica(t.Context(), in.postgres, localservices.Options{})
	must(err)
	stopAtEnd(t, in.replica)
	in.startRedis(t)
	in.api, err = localservices.StartProgram(t.Context(), localservices.ProgramConfig{
		Name: "reference API", Path: binary, Args: []string{"reference-api"},
		Env: []string{"REFAPI_APPLICATION_NAME=cashflow-api", "REFAPI_VERSION=v2", "REFAPI_LOG_LEVEL=error"},
		Secrets: map[string]secret.String{
			"REFAPI_POSTGRES_URL": in.postgres.URL(), "REFAPI_REDIS_URL": in.master.URL(), "REFAPI_JWT_SECRET": in.jwt,
		},
		ListenEnv: "REFAPI_LISTEN", ReadyPath: "/health",
	})
	must(err)
	stopAtEnd(t, in.api)
	in.foreign = httptest.NewServer(foreignPage(time.Now()))
	t.Cleanup(in.foreign.Close)
}

// startRedis starts a master with a replica and a sentinel, and a cluster of one.
func (in *installation) startRedis(t *testing.T) {
	t.Helper()
	start := func(settings map[string]string) *localservices.Redis {
		t.Helper()
		settings["requirepass"] = redisPassword
		server, err := localservices.StartRedis(t.Context(), localservices.Options{Mode: localservices.System, Settings: settings})
		if err != nil {
			t.Fatal(err)
		}
		stopAtEnd(t, server)
		return server
	}
	in.master = start(map[string]string{
		"masterauth": redisPassword, "appendonly": "yes", "save": "3600 1", "repl-diskless-sync-delay": "0", "latency-monitor-threshold": "5",
		"min-replicas-to-write": "1",
	})
	host, port := hostPort(in.master)
	in.copy = start(map[string]string{"masterauth": redisPassword, "replicaof": host + " " + port})
	in.alone = start(map[string]string{"cluster-enabled": "yes", "cluster-port": freePort(t)})
	var err error
	in.sentinel, err = localservices.StartSentinel(t.Context(), localservices.Options{Settings: map[string]string{"requirepass": redisPassword}})
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, in.sentinel)
	for _, command := range [][]any{
		{"SENTINEL", "MONITOR", "main", host, port, 1},
		{"SENTINEL", "SET", "main", "auth-pass", redisPassword},
	} {
		redisDo(t, in.sentinel, command...)
	}
	redisDo(t, in.alone, "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
}

// foreignPage is the page of an API on Node with HikariCP: parts that the
// reference API does not have.
func foreignPage(start time.Time) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		age := time.Since(start).Seconds()
		_, _ = fmt.Fprintf(w, "process_start_time_seconds %d\nprocess_cpu_seconds_total %.3f\nprocess_resident_memory_bytes 9e7\nnodejs_eventloop_lag_seconds 0.003\n"+
			"hikaricp_connections_active{pool=\"main\"} 4\nhikaricp_connections_max{pool=\"main\"} 10\nhikaricp_connections_pending{pool=\"main\"} 1\n"+
			"hikaricp_connections_timeout_total{pool=\"main\"} %d\nhikaricp_connections_acquire_seconds_count{pool=\"main\"} %d\n"+
			"hikaricp_connections_acquire_seconds_sum{pool=\"main\"} %.3f\n", start.Unix(), age/20, int(age), int(age*10), age/5)
	}
}

// settings are what the soakds of the installation have in common.
func (in *installation) settings() []string {
	return []string{
		"SOAKD_TARGET_URL=" + in.api.URL(), "SOAKD_JWT_SECRET=" + in.jwt.Value(),
		"SOAKD_POSTGRES_URL=" + in.postgres.MonitorURL().Value(), "SOAKD_POSTGRES_APPLICATIONS=cashflow-api", "SOAKD_POSTGRES_TABLES=cashflow_scenarios,cashflow_history",
		"SOAKD_PROBE_INTERVAL=1s", "SOAKD_PROBE_TIMEOUT=1s", "SOAKD_LISTEN=127.0.0.1:0", "SOAKD_DURATION=10m", "SOAKD_REDIS_READ_CONFIG=true",
	}
}

// startLarge starts the soakd that has run for hours: its history says so.
func (s *stand) startLarge(t *testing.T) *process {
	t.Helper()
	in := &s.large
	file := filepath.Join(t.TempDir(), "history.db")
	_, err := pastrun.Store(t.Context(), pastrun.Config{
		URL: file, Series: history.Series{Target: in.api.URL(), Instance: "soakd"},
		World: simulate.Config{Seed: 11, Rate: 20, Episodes: []simulate.Episode{
			{Fault: "memory_leak_fast", At: 130 * time.Minute},
			{Fault: "slow_all_50", At: 140 * time.Minute},
			{Fault: "postgres_down", At: 60 * time.Minute, For: 3 * time.Minute},
		}},
		Long: 3 * time.Hour, Until: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, port := hostPort(in.sentinel)
	return startSoakd(t, s.binary, append(in.settings(),
		"SOAKD_HISTORY_URL="+file,
		"SOAKD_API_METRICS_URL="+in.api.URL()+"/metrics",
		"SOAKD_POSTGRES_SERVERS=replica="+in.replica.MonitorURL().Value(),
		"SOAKD_REDIS_MODE=sentinel",
		fmt.Sprintf("SOAKD_REDIS_URL=redis://default:%s@127.0.0.1:%s?master_name=main&username=default&password=%s", redisPassword, port, redisPassword),
	), "run", "--rate", "10")
}

// startCluster starts the soakd with virtual users.
func (s *stand) startCluster(t *testing.T) *process {
	t.Helper()
	in := &s.large
	_, port := hostPort(in.alone)
	return startSoakd(t, s.binary, append(in.settings(),
		"SOAKD_HISTORY_URL=none", "SOAKD_USER_PREFIX=cluster", "SOAKD_MODEL=closed", "SOAKD_USERS=2", "SOAKD_USER_PACING=500ms",
		"SOAKD_API_METRICS_URL="+in.foreign.URL,
		"SOAKD_REDIS_MODE=cluster", fmt.Sprintf("SOAKD_REDIS_URL=redis://default:%s@127.0.0.1:%s", redisPassword, port),
	), "run")
}

// stopAtEnd stops a server at the end of the test.
func stopAtEnd(t *testing.T, server interface{ Stop() error }) {
	t.Helper()
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// hostPort is where a Redis listens.
func hostPort(server *localservices.Redis) (host, port string) {
	u, err := url.Parse(server.URL().Value())
	if err != nil {
		return "", ""
	}
	return u.Hostname(), u.Port()
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return port
}

// redisClient returns a client that is closed at the end of the test.
func redisClient(t *testing.T, server *localservices.Redis) *goredis.Client {
	t.Helper()
	options, err := goredis.ParseURL(server.URL().Value())
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func redisDo(t *testing.T, server *localservices.Redis, command ...any) {
	t.Helper()
	if err := redisClient(t, server).Do(t.Context(), command...).Err(); err != nil {
		t.Fatalf("%v: %v", command[:2], err)
	}
}

// process is a soakd at work.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *lockedbuffer.Buffer
	ended          chan struct{}
	err            error
}

// startSoakd starts the binary, and stops it at the end of the test.
func startSoakd(t *testing.T, binary string, env []string, args ...string) *process {
	t.Helper()
	p := &process{stdout: &lockedbuffer.Buffer{}, stderr: &lockedbuffer.Buffer{}, ended: make(chan struct{})}
	p.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), binary, args...) //nolint:gosec // built above
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "SOAKD_") })
	// A machine that is busy with other tests must not keep soakd from judging.
	p.cmd.Env = append(p.cmd.Env, "SOAKD_LAG_LIMIT=5s", "SOAKD_CPU_LIMIT=1")
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() { p.stop(t) })
	return p
}

// find waits for what a pattern's group matches in the output.
func (p *process) find(t *testing.T, pattern string) string {
	t.Helper()
	line := regexp.MustCompile(pattern)
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if match := line.FindStringSubmatch(p.stdout.String()); match != nil {
			return match[1]
		}
		select {
		case <-p.ended:
			t.Fatalf("%s ended: %v\n%s\n%s", p.cmd.Args[1], p.err, p.stdout, p.stderr)
		case <-deadline.C:
			t.Fatalf("%s has not said %s after a minute\n%s\n%s", p.cmd.Args[1], pattern, p.stdout, p.stderr)
		case <-ticker.C:
		}
	}
}

// metricsURL waits for the banner.
func (p *process) metricsURL(t *testing.T) *url.URL {
	t.Helper()
	found, err := url.Parse(p.find(t, `(?m)^\s*metrics\s+(http://\S+)$`))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// stop asks a soakd to end and waits until it has, with all that it started.
func (p *process) stop(t *testing.T) {
	t.Helper()
	name := p.cmd.Args[1]
	select {
	case <-p.ended:
		t.Errorf("soakd %s ended by itself: %v\n%s", name, p.err, p.stderr)
		return
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Error(err)
	}
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	select {
	case <-p.ended:
		// A bounded run that is interrupted could not run to its end, which is 3, or
		// has failed before, which is 1.
		if code := p.cmd.ProcessState.ExitCode(); code != 3 && code != 1 {
			t.Errorf("soakd %s ended with exit code %d, %v\n%s", name, code, p.err, p.stderr)
		}
	case <-deadline.C:
		_ = p.cmd.Process.Kill()
		<-p.ended
		t.Errorf("soakd %s did not end within a minute of being asked to\n%s", name, p.stderr)
	}
}

// admin switches the faults of the demo's API, as the demo says how.
type admin struct {
	url, token string
	http       *http.Client
}

func (p *process) admin(t *testing.T) *admin {
	t.Helper()
	a := &admin{
		token: p.find(t, `Authorization: Bearer (\w+)'`), url: p.find(t, `(http://127\.0\.0\.1:\d+)/admin/faults/slow_all\n`),
		// Some faults cut connections.
		http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second},
	}
	return a
}

// ask asks below /admin/, again for a while when the API is restarting.
func (a *admin) ask(ctx context.Context, method, path, body string) (text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if text, err = a.once(ctx, method, path, body); err == nil {
			return text, nil
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (a *admin) once(ctx context.Context, method, path, body string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.url+"/admin/"+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+a.token)
	response, err := a.http.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status + ": " + string(text))
	}
	return string(text), err
}
