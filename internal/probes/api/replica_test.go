package api

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

// pollTime is the time of one poll of the tests.
const pollTime = 5 * time.Second

// filesOf serves a page that tells of a number of open files.
func filesOf(count int) http.HandlerFunc { return page(fmt.Sprintf("process_open_fds %d\n", count)) }

// never answers nothing until the client gives up.
func never(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// openFiles returns the open files by replica.
func openFiles(values probetest.Values) map[string]float64 { return byReplica(values, "open_fds") }

func byReplica(values probetest.Values, name string) map[string]float64 {
	found := map[string]float64{}
	for series, value := range values {
		if replica, ok := strings.CutPrefix(series, "soakd_api_"+name+`{replica="`); ok {
			found[strings.TrimSuffix(replica, `"}`)] = value
		}
	}
	return found
}

func states(values probetest.Values) string {
	return fmt.Sprint(values[`soakd_api_replicas{state="known"}`], values[`soakd_api_replicas{state="read"}`], values[`soakd_api_replicas{state="left_out"}`])
}

func hostOf(url string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	return host
}

func TestSeveralURLsAreReplicas(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/a", filesOf(1))
	mux.HandleFunc("/b", filesOf(2))
	shared := hostOf(serve(t, mux.ServeHTTP))
	alone := hostOf(serve(t, filesOf(3)))
	probe := open(t, Config{MetricsURL: fmt.Sprintf("http://%s/a, http://%s/b?secret=x\nhttp://%s/metrics", shared, shared, alone)})
	values, err := probetest.Poll(t, probe, pollTime)
	want := map[string]float64{shared + "/a": 1, shared + "/b": 2, alone: 3}
	if err != nil || !maps.Equal(openFiles(values), want) || states(values) != "3 3 0" {
		t.Errorf("%v, %v, %s; want %v", values, err, states(values), want)
	}
	if up := byReplica(values, "replica_up"); !maps.Equal(up, map[string]float64{shared + "/a": 1, shared + "/b": 1, alone: 1}) {
		t.Errorf("up: %v", up)
	}
}

// Each replica has its own restarts.
func TestRestartsAreOfOneReplica(t *testing.T) {
	var start atomic.Int64
	start.Store(time.Now().Unix() - 3600)
	first := hostOf(serve(t, func(w http.ResponseWriter, r *http.Request) {
		page(fmt.Sprintf("process_start_time_seconds %d\n", start.Load()))(w, r)
	}))
	second := hostOf(serve(t, page("process_start_time_seconds 1700000000\n")))
	probe := open(t, Config{MetricsURL: "http://" + first + "/metrics http://" + second + "/metrics"})
	for i, want := range []float64{0, 0, 1, 1} {
		if i == 2 {
			start.Store(time.Now().Unix())
		}
		values, err := probetest.Poll(t, probe, pollTime)
		if err != nil || !maps.Equal(byReplica(values, "restarts_total"), map[string]float64{first: want, second: 0}) || byReplica(values, "observed_workers")[second] != 1 {
			t.Errorf("poll %d: %v, %v; want %v", i, values, err, want)
		}
	}
}

func TestThoseThatHangCostTheOthersNothing(t *testing.T) {
	const hung, count = 9, 20 // more than are read at the same time
	var urls []string
	var pairs []string
	for i := range count {
		handler := http.HandlerFunc(never)
		if i >= hung {
			handler = filesOf(i)
		}
		urls = append(urls, serve(t, handler))
		pairs = append(pairs, hostOf(urls[i]))
	}
	probe := open(t, Config{MetricsURL: strings.Join(urls, ",")})
	ctx, cancel := context.WithTimeout(t.Context(), pollTime)
	defer cancel()
	reading, err := probe.Poll(ctx)
	if ctx.Err() != nil {
		t.Error("the poll took all its time")
	}
	values := probetest.ValuesOf(t, probe, reading)
	if probes.ReasonOf(err) != probes.ReasonTimeout || !strings.Contains(err.Error(), "9 of 20 replicas were not read in full: replica "+pairs[0]+": read the target's metrics: context deadline exceeded") {
		t.Errorf("%v: %v", probes.ReasonOf(err), err)
	}
	files, up := openFiles(values), byReplica(values, "replica_up")
	for i, replica := range pairs {
		if i < hung && up[replica] != 0 || i >= hung && (files[replica] != float64(i) || up[replica] != 1) {
			t.Errorf("replica %d: %v files, up %v", i, files[replica], up[replica])
		}
	}
	if len(files) != count-hung || states(values) != "20 11 0" || reading.Cost.Queries != count || reading.Cost.Time < time.Second {
		t.Errorf("%v, %s, cost %+v", files, states(values), reading.Cost)
	}
	if err == nil || len(err.Error()) > 320 {
		t.Errorf("the text of the error has %d bytes", len(err.Error()))
	}
}

func TestAReplicaAwayAndBack(t *testing.T) {
	proxy := probetest.NewProxy(t, hostOf(serve(t, filesOf(1))))
	other := hostOf(serve(t, filesOf(2)))
	probe := open(t, Config{MetricsURL: "http://" + proxy.Address() + "/metrics,http://" + other + "/metrics"})
	for range 3 {
		values, err := probetest.Poll(t, probe, pollTime)
		if err != nil || !maps.Equal(openFiles(values), map[string]float64{proxy.Address(): 1, other: 2}) {
			t.Errorf("there: %v, %v", values, err)
		}
		proxy.Down()
		values, err = probetest.Poll(t, probe, pollTime)
		if probes.ReasonOf(err) != probes.ReasonConnect || !maps.Equal(openFiles(values), map[string]float64{other: 2}) || states(values) != "2 1 0" {
			t.Errorf("away: %v, %v", values, err)
		}
		proxy.Up(hostOf(serve(t, filesOf(1))))
	}
}

// A token that is rotated is taken from its file.
func TestTheTokenIsRotated(t *testing.T) {
	var wanted atomic.Value
	wanted.Store("first")
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+wanted.Load().(string) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		filesOf(1)(w, r)
	})
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, "first\n")
	probe := open(t, Config{MetricsURL: target, TokenFile: file})
	poll := func(what string, want probes.Reason, text string) {
		t.Helper()
		_, err := probetest.Poll(t, probe, pollTime)
		if probes.ReasonOf(err) != want || err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %q, %v", what, probes.ReasonOf(err), err)
		}
	}
	poll("the first", "", "")
	wanted.Store("other") // of the same length and maybe at the same time
	poll("refused", probes.ReasonAuth, "answered 401")
	write(t, file, "other\n")
	poll("rotated", "", "")
	write(t, file, "")
	poll("an empty file keeps the old one", "", "")
	wanted.Store("third")
	poll("refused, and why", probes.ReasonAuth, "is empty")
	write(t, file, "with\nline")
	poll("not a token", probes.ReasonAuth, "characters that a header cannot carry")
	write(t, file, "third")
	poll("good again", "", "")
}

// raw answers each connection with text and ends it.
func raw(t *testing.T, text string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1000))
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return "http://" + listener.Addr().String() + "/metrics"
}

func TestReasons(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	tls := httptest.NewUnstartedServer(filesOf(1))
	tls.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	tls.StartTLS()
	t.Cleanup(tls.Close)
	cases := map[probes.Reason][]string{
		probes.ReasonAuth:        {serve(t, status(401))},
		probes.ReasonPermission:  {serve(t, status(403))},
		probes.ReasonMissing:     {serve(t, status(404)), serve(t, page("x 1\n"))},
		probes.ReasonUnavailable: {serve(t, status(503)), serve(t, status(429))},
		probes.ReasonProtocol: {
			raw(t, "\x00\xff\x17garbage\r\n\r\n"), raw(t, "HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n"), raw(t, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nprocess_open_fds{a=\"b"),
			serve(t, status(302)), serve(t, status(500)), serve(t, page("process_open_fds +Inf\n")), serve(t, page("process_open_fds x\n")),
			strings.Replace(serve(t, filesOf(1)), "http:", "https:", 1),
		},
		probes.ReasonReset: {raw(t, ""), raw(t, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nprocess_open_fds 3\n")},
		probes.ReasonTLS:   {tls.URL},
	}
	for want, urls := range cases {
		for i, url := range urls {
			values, err := probetest.Poll(t, open(t, Config{MetricsURL: url}), pollTime)
			if probes.ReasonOf(err) != want || len(openFiles(values)) != 0 {
				t.Errorf("%s, %d: %s, %v, %v", want, i, probes.ReasonOf(err), err, values)
			}
		}
	}
}

// An answer may hold a part of the URL's query, as it was or as the target read it.
func TestAnAnswerThatRepeatsAPartOfTheQuery(t *testing.T) {
	for _, code := range []string{"hunter2", "hunter%203", "hunter+3"} {
		target := raw(t, "HTTP/1.1 "+code+" OK\r\n\r\n") + "?key=hunter2&other=hunter%203"
		_, err := probetest.Poll(t, open(t, Config{MetricsURL: target}), pollTime)
		if probes.ReasonOf(err) != probes.ReasonProtocol || strings.Contains(err.Error(), "hunter") || !strings.Contains(err.Error(), "malformed HTTP") {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestAPanicOfOneReplicaIsReported(t *testing.T) {
	probe := open(t, Config{MetricsURL: serve(t, filesOf(1)) + "," + serve(t, filesOf(2))}).(*probe)
	replicas := probe.members.(fixed)
	replicas[0].sources[0].(*pageSource).known = nil
	values, err := probetest.Poll(t, probe, pollTime)
	if probes.ReasonOf(err) != probes.ReasonPanic || !maps.Equal(openFiles(values), map[string]float64{replicas[1].name: 2}) {
		t.Errorf("%v, %v", err, values)
	}
}

func TestNoReplicaCostsNoShare(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for count, rounds := range map[int]int{0: 1, 1: 1, 8: 1, 9: 2, 32: 4} {
		if got := share(ctx, count).Round(time.Minute); got != time.Hour/time.Duration(rounds) {
			t.Errorf("%d replicas: %v", count, got)
		}
	}
}

func TestSeveralTargetsRefused(t *testing.T) {
	const url = "http://h:1/metrics"
	odd := filepath.Join(t.TempDir(), "token")
	write(t, odd, "a b")
	for want, config := range map[string]Config{
		"SOAKD_API_METRICS_URL: URL 2 of 2 must start with http://":                               {MetricsURL: url + " h2:1"},
		"SOAKD_API_METRICS_URL: URLs 1 and 3 have the same host, port and path":                   {MetricsURL: "http://h/m,http://h:1/m,http://h:80/m?x"},
		"SOAKD_API_METRICS_URL: has 33 URLs; at most 32 are read":                                 {MetricsURL: strings.Repeat("http://h/m ", 33)},
		"SOAKD_API_METRICS_URL: has a port that must be 1 to 65535":                               {MetricsURL: "http://h:65536/metrics"},
		"SOAKD_API_METRICS_URL: URL 2 of 2 has a port that must be 1 to 65535":                    {MetricsURL: url + ",http://h:0/metrics"},
		"SOAKD_API_METRICS_TOKEN_FILE: holds characters that a header cannot carry":               {MetricsURL: url, TokenFile: odd},
		"SOAKD_API_METRICS_TOKEN: holds characters that a header cannot carry":                    {MetricsURL: url, Token: secret.New("a b")},
		"SOAKD_API_METRICS_URL: holds no URL":                                                     {MetricsURL: " , "},
		"SOAKD_API_METRICS_DNS: is \"aaaa\"; want off, a or srv":                                  {MetricsURL: url, DNS: "aaaa", DNSInterval: time.Minute},
		"SOAKD_API_METRICS_DNS: works with one URL":                                               {MetricsURL: url + ",http://h:2/metrics", DNS: "a", DNSInterval: time.Minute},
		"SOAKD_API_METRICS_DNS: SOAKD_API_METRICS_URL is empty":                                   {DNS: "srv", DNSInterval: time.Minute},
		"SOAKD_API_METRICS_DNS: srv takes the port from the records":                              {MetricsURL: url, DNS: "srv", DNSInterval: time.Minute},
		"SOAKD_API_METRICS_DNS_INTERVAL: is 500ms; want 1s to 1h":                                 {MetricsURL: url, DNS: "a", DNSInterval: time.Second / 2},
		"SOAKD_API_PID: is -1; want the number of a process":                                      {PID: -1},
		"SOAKD_API_PID, SOAKD_API_PID_FILE, SOAKD_API_PROCESS: give one of them":                  {PIDFile: "/x", Process: "y"},
		"SOAKD_API_PROCESS: tells of one replica, and SOAKD_API_METRICS_URL of several":           {MetricsURL: url + ",http://h:2/metrics", Process: "y"},
		"SOAKD_API_CGROUP: tells of one replica, and SOAKD_API_METRICS_URL of several":            {MetricsURL: url, DNS: "a", DNSInterval: time.Minute, CGroup: "/x"},
		"SOAKD_API_CGROUP: \"system.slice\" is not an absolute path; want a folder below /sys/fs": {CGroup: "system.slice"},
	} {
		err := config.Validate()
		if err == nil || !slices.ContainsFunc(strings.Split(err.Error(), "\n"), func(line string) bool { return strings.HasPrefix(line, want) }) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

func TestSummary(t *testing.T) {
	for want, config := range map[string]Config{
		"http://a:1/m, https://b/m":                                     {MetricsURL: "http://a:1/m https://b/m?x=secret"},
		"http://a/m, each replica of the DNS (srv)":                     {MetricsURL: "http://a/m", DNS: "srv", DNSInterval: time.Minute},
		"http://a/m, process 7, control group /sys/fs/cgroup/a.service": {MetricsURL: "http://a/m", PID: 7, CGroup: "/sys/fs/cgroup/a.service"},
		"process of /run/api.pid":                                       {PIDFile: "/run/api.pid"},
		"process gunicorn":                                              {Process: "gunicorn"},
	} {
		if err := config.Validate(); err != nil || config.Summary() != want || !config.Enabled() {
			t.Errorf("%q, %v; want %q", config.Summary(), err, want)
		}
	}
}
