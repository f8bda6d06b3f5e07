package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"soakd/internal/dashboards"
	"soakd/internal/judge/objective"
	"soakd/internal/load"
)

// unset takes away what TestMain sets for the other tests.
func unset(t *testing.T) {
	t.Helper()
	for _, name := range []string{"SOAKD_LAG_LIMIT", "SOAKD_CPU_LIMIT", "SOAKD_HISTORY_URL"} {
		t.Setenv(name, "")
	}
}

// password is in every URL of [withEveryProbe].
const password = "hunter2"

// withEveryProbe configures every probe, by URLs that hold a password.
func withEveryProbe(t *testing.T) {
	t.Helper()
	unset(t)
	for name, value := range map[string]string{
		"POSTGRES_URL": "postgres://soakd:" + password + "@127.0.0.1:1/x", "POSTGRES_CANARY_URL": "postgres://soakd:" + password + "@127.0.0.1:1/x",
		"REDIS_URL": "redis://soakd:" + password + "@127.0.0.1:1/0", "REDIS_CANARY_URL": "redis://soakd:" + password + "@127.0.0.1:1/0",
		"API_METRICS_URL": "http://127.0.0.1:1/metrics", "ENDPOINT_PROBES": "a=http://127.0.0.1:1/", "TCP_PROBES": "a=127.0.0.1:1",
		"DNS_PROBES": "a=x.example server=127.0.0.1:1", "CERTIFICATE_PROBES": "a=127.0.0.1:1", "EXPORTER_PROBES": "a=http://127.0.0.1:1/", "EXPORTER_SERIES": "x=a:y", "GRAFANA_URL": "http://127.0.0.1:1", "GRAFANA_TOKEN": password,
		"PUSHGATEWAY_URL": "http://127.0.0.1:1",
	} {
		t.Setenv("SOAKD_"+name, value)
	}
}

// said runs soakd with the arguments and returns what it printed.
func said(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), args, &stdout, &stderr)
	text := stdout.String() + stderr.String()
	if err != nil {
		text += err.Error()
	}
	if strings.Contains(text, password) {
		t.Errorf("soakd %q shows a password:\n%s", args, text)
	}
	return text, err
}

// written returns the files of a folder by their names.
func written(t *testing.T, folder string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}
		content, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), password) {
			t.Errorf("%s shows a password", entry.Name())
		}
		files[entry.Name()] = string(content)
	}
	return files
}

// A soakd with every probe and no other setting gets what the repository holds, of
// both kinds of histograms.
func TestDefaultConfigurationGivesTheRepositorysFiles(t *testing.T) {
	withEveryProbe(t)
	for kind, repository := range map[string]string{classicHistograms: "../../dashboards", nativeHistograms: "../../dashboards-native"} {
		folder := filepath.Join(t.TempDir(), "new", "folder")
		text, err := said(t, "dashboards", "--out", folder, "--histograms", kind)
		if err != nil {
			t.Fatal(err)
		}
		got, want := written(t, folder), written(t, repository)
		if len(got) == 0 || len(got) != len(want) {
			t.Errorf("%s: %d dashboards, the repository has %d", kind, len(got), len(want))
		}
		for name, content := range got {
			if content != want[name] {
				t.Errorf("%s: %s is another than in the repository", kind, name)
			}
			if !strings.Contains(text, filepath.Join(folder, name)+"\n") {
				t.Errorf("%s: it is not said that %s was written:\n%s", kind, name, text)
			}
		}
		rules, err := said(t, "rules", "--histograms", kind)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(rules, "dashboard: http://127.0.0.1:1/d/soakd-") {
			t.Errorf("%s: links do not lead to SOAKD_GRAFANA_URL", kind)
		}
		if strings.ReplaceAll(rules, "http://127.0.0.1:1/d/", "/d/") != written(t, filepath.Join(repository, "rules"))["soakd.yaml"] {
			t.Errorf("%s: the rules are others than in the repository", kind)
		}
	}
}

// What is not configured is left out, unless all is asked for.
func TestFittingLeavesOutWhatIsNotConfigured(t *testing.T) {
	withEveryProbe(t)
	t.Setenv("SOAKD_REDIS_URL", "")
	t.Setenv("SOAKD_REDIS_CANARY_URL", "")
	t.Setenv("SOAKD_OBJECTIVES", "none")
	t.Setenv("SOAKD_HISTORY_URL", "none")
	folder := t.TempDir()
	if _, err := said(t, "dashboards", "--out", folder); err != nil {
		t.Fatal(err)
	}
	rules := filepath.Join(folder, "rules.yaml")
	if _, err := said(t, "rules", "--out", rules); err != nil {
		t.Fatal(err)
	}
	files := written(t, folder)
	if files["postgres.json"] == "" || files["redis.json"] != "" {
		t.Errorf("there must be a dashboard for Postgres and none for Redis")
	}
	for name, content := range files {
		for _, metric := range []string{"soakd_redis_", "soakd_slo_", "soakd_history_"} {
			if strings.Contains(content, metric) {
				t.Errorf("%s asks for %s", name, metric)
			}
		}
	}
	if text := files["rules.yaml"]; strings.Contains(text, "alert: SoakdRedis") || strings.Contains(text, "Burns") || !strings.Contains(text, "alert: SoakdPostgres") {
		t.Error("the rules do not fit")
	}
	if text, err := exec.CommandContext(t.Context(), "promtool", "check", "rules", rules).CombinedOutput(); err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, text)
	}
	all, err := said(t, "rules", "--all")
	if err != nil || !strings.Contains(all, "alert: SoakdRedis") || !strings.Contains(all, "alert: SoakdErrorBudgetBurns") {
		t.Errorf("--all leaves something out: %v", err)
	}
}

func TestFittingFollowsTheConfiguration(t *testing.T) {
	unset(t)
	t.Setenv("SOAKD_OBJECTIVES", "a: availability>=95%; b: class=standard latency<=1700ms for 99%; c: class=complex latency<=40s for 99.9%; d: class=standard latency<=100ms for 50%")
	t.Setenv("SOAKD_LAG_LIMIT", "30ms")
	t.Setenv("SOAKD_CPU_LIMIT", "0.75")
	t.Setenv("SOAKD_OBJECTIVE_PERIOD", "24h")
	rules, err := said(t, "rules", "--dashboard-url", "https://grafana.test/sub/", "--runbook-url", "https://wiki.test/runbook")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"> 0.05\n", "(limit 5%)", "(limit 40s)", "(limit 250 ms)", "dashboard: https://grafana.test/sub/d/soakd-traffic", "runbook_url: https://wiki.test/runbook#soakdlate",
		"soakd_slo_bad_events_total[144m]",
	} {
		if !strings.Contains(rules, want) {
			t.Errorf("the rules lack %q", want)
		}
	}
	if strings.Contains(rules, "soakd_slo_bad_events_total[3d]") {
		t.Error("the burns of a day look back over three")
	}
	cfg := newConfig()
	if err := loadEnvironment(cfg.settings()); err != nil {
		t.Fatal(err)
	}
	if err := cfg.override("SOAKD_TARGET_URL", "http://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	if err := cfg.validate(); err != nil {
		t.Fatal(err)
	}
	s, err := cfg.fittingSettings(fittingOptions{histograms: nativeHistograms})
	if err != nil {
		t.Fatal(err)
	}
	if s.LagLimit != 150*time.Millisecond || s.LatencyLimit != 1700*time.Millisecond || s.CalculationLimit != 40*time.Second || s.CPULimit != 0.75 || s.ErrorRatioLimit != 0.05 {
		t.Errorf("native histograms: %+v", s)
	}
}

func TestBucketBound(t *testing.T) {
	bounds := []time.Duration{1, 5, 10}
	for limit, want := range map[time.Duration]time.Duration{0: 0, 1: 1, 2: 5, 5: 5, 6: 6, 10: 5, 100: 5} {
		if got := bucketBound(bounds, limit); got != want {
			t.Errorf("%d: got %d, want %d", limit, got, want)
		}
	}
	for _, limit := range []time.Duration{time.Second, 10 * time.Second} {
		if got := bucketBound(load.TimeBounds(), limit); got != limit {
			t.Errorf("the default %v became %v", limit, got)
		}
	}
}

func TestLimitsOfNoPromises(t *testing.T) {
	if ratio, usual, calculation := limitsOf([]objective.Objective{{Kind: objective.Latency, Class: "standard", Target: 0.95, Threshold: time.Second}}); ratio != 0 || usual != 0 || calculation != 0 {
		t.Errorf("a promise for 95%% says nothing about p99: %v %v %v", ratio, usual, calculation)
	}
}

// Each kind of probe is a part by its name.
func TestKindsAreParts(t *testing.T) {
	for _, kind := range newConfig().kinds {
		if !slices.Contains(dashboards.Parts(), dashboards.Part(kind.Name)) {
			t.Errorf("dashboards know no part %s", kind.Name)
		}
	}
}

// Files that soakd did not write stay, its own are written anew, and nothing is
// removed.
func TestDashboardsKeepForeignFiles(t *testing.T) {
	withEveryProbe(t)
	folder := t.TempDir()
	put := func(name, content string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("overview.json", `{"uid": "mine", "tags": ["soakd"]}`)
	put("redis.json", "no JSON")
	text, err := said(t, "dashboards", "--out", folder)
	if exitCode(err) != exitUsage || !strings.Contains(text, "overview.json is there and was not written by soakd") || !strings.Contains(text, "redis.json") {
		t.Errorf("exit code %d: %s", exitCode(err), text)
	}
	if files := written(t, folder); len(files) != 2 || files["redis.json"] != "no JSON" {
		t.Errorf("files were written: %d", len(files))
	}
	if _, err := said(t, "dashboards", "--out", folder, "--force"); err != nil {
		t.Error(err)
	}
	put("other.json", "{}")
	t.Setenv("SOAKD_REDIS_URL", "")
	t.Setenv("SOAKD_REDIS_CANARY_URL", "")
	text, err = said(t, "dashboards", "--out", folder)
	if err != nil || !strings.Contains(text, "redis.json is of soakd and not of this configuration") || strings.Contains(text, "other.json") {
		t.Errorf("%v: %s", err, text)
	}
	if files := written(t, folder); files["other.json"] != "{}" || files["redis.json"] == "" {
		t.Error("files were removed")
	}
	put("soakd.yaml", "groups: []\n")
	if text, err = said(t, "rules", "--out", filepath.Join(folder, "soakd.yaml")); exitCode(err) != exitUsage {
		t.Errorf("foreign rules were overwritten: %s", text)
	}
	for range 2 { // its own it overwrites
		if _, err := said(t, "rules", "--out", filepath.Join(folder, "own.yaml")); err != nil {
			t.Error(err)
		}
	}
	info, err := os.Stat(filepath.Join(folder, "own.yaml"))
	if err != nil || info.Mode() != fs.FileMode(0o644) {
		t.Errorf("others cannot read the rules: %v, %v", info.Mode(), err)
	}
}

// A device and a pipe are neither read, which might never end, nor replaced.
func TestFittingKeepsWhatIsNoFile(t *testing.T) {
	withEveryProbe(t)
	folder := t.TempDir()
	for _, name := range []string{"overview.json", "pipe.json"} {
		if err := syscall.Mkfifo(filepath.Join(folder, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(folder, "link.yaml")
	if err := os.Symlink("/dev/null", link); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"dashboards", "--out", folder},
		{"dashboards", "--out", folder, "--force"},
		{"rules", "--out", filepath.Join(folder, "pipe.json")},
		{"rules", "--out", link, "--force"},
	} {
		if text, err := said(t, args...); exitCode(err) != exitUsage || !strings.Contains(text, "is no file") {
			t.Errorf("%q: exit code %d, %s", args, exitCode(err), text)
		}
	}
	if err := os.Remove(filepath.Join(folder, "overview.json")); err != nil {
		t.Fatal(err)
	}
	if text, err := said(t, "dashboards", "--out", folder); err != nil { // beside a pipe
		t.Errorf("%v: %s", err, text)
	}
}

func TestFittingSaysAllMistakes(t *testing.T) {
	unset(t)
	t.Setenv("SOAKD_CPU_LIMIT", "7")
	text, err := said(t, "rules", "--histograms", "both", "--dashboard-url", "https://admin:"+password+"@grafana.test", "--runbook-url", "wiki")
	for _, want := range []string{"SOAKD_CPU_LIMIT", "--histograms", "--dashboard-url", "--runbook-url"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not said to be wrong: %s", want, text)
		}
	}
	if exitCode(err) != exitUsage {
		t.Errorf("exit code %d", exitCode(err))
	}
	t.Setenv("SOAKD_CPU_LIMIT", "")
	if text, err := said(t, "dashboards"); exitCode(err) != exitUsage || !strings.Contains(text, "--out: not set") {
		t.Errorf("without --out: exit code %d, %s", exitCode(err), text)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := said(t, "dashboards", "--out", file); err == nil || !strings.Contains(text, file) {
		t.Errorf("a file as the folder: %v, %s", err, text)
	}
	if text, err := said(t, "rules", "--out", filepath.Join(file, "x.yaml")); err == nil || !strings.Contains(text, file) {
		t.Errorf("a folder that is none: %v, %s", err, text)
	}
}
