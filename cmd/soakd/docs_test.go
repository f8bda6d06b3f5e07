package main

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"

	"soakd/internal/exporter"
	"soakd/internal/probes"
	"soakd/internal/secret"
)

var update = flag.Bool("update", false, "write the documents that are made from the code")

// current compares a file with what it should be, or writes it.
func current(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil { //nolint:gosec // a public document
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the code says: run make docs", path)
	}
}

// everyProbe opens a probe of each kind; nothing is reached.
func everyProbe(t *testing.T) []probes.Probe {
	t.Helper()
	cfg := newConfig()
	if err := loadEnvironment(cfg.settings()); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"SOAKD_TARGET_URL": "http://127.0.0.1:1", "SOAKD_POSTGRES_URL": "postgres://127.0.0.1:1/x",
		"SOAKD_REDIS_URL": "redis://127.0.0.1:1/0", "SOAKD_API_METRICS_URL": "http://127.0.0.1:1/metrics",
		"SOAKD_POSTGRES_CANARY_URL": "postgres://127.0.0.1:1/x", "SOAKD_REDIS_CANARY_URL": "redis://127.0.0.1:1/0",
	} {
		if err := cfg.override(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := cfg.validate(); err != nil {
		t.Fatal(err)
	}
	opened, err := openProbes(cfg.kinds, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, probe := range opened {
		t.Cleanup(probe.Close)
	}
	return opened
}

func TestMetricsDocIsCurrent(t *testing.T) {
	current(t, "../../METRICS.md", exporter.Markdown(exporter.Definitions(everyProbe(t))))
}

func TestReadmeIsCurrent(t *testing.T) {
	const path, begin, end = "../../README.md", "<!-- settings: written by make docs -->\n", "<!-- end of settings -->"
	readme, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(readme), begin)
	_, after, foundEnd := strings.Cut(rest, end)
	if !found || !foundEnd {
		t.Fatal("README.md has lost the marks around its table")
	}
	current(t, path, before+begin+settingsTable()+end+after)
}

func settingsTable() string {
	var b strings.Builder
	b.WriteString("\n| variable | default | meaning |\n|---|---|---|\n")
	for _, s := range newConfig().settings() {
		fallback := ""
		if s.Default != "" {
			fallback = "`" + s.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Name, fallback, strings.ReplaceAll(s.Desc, "|", `\|`))
	}
	b.WriteString("\n")
	return b.String()
}

// Every setting is described, its default can be read, and a secret has a file.
func TestSettingsAreComplete(t *testing.T) {
	settings := newConfig().settings()
	names := map[string]bool{}
	for _, s := range settings {
		names[s.Name] = true
	}
	for _, s := range settings {
		if s.Desc == "" {
			t.Errorf("%s has no description", s.Name)
		}
		if s.Default != "" {
			if err := s.set(s.Default); err != nil {
				t.Errorf("%s: default %q: %v", s.Name, s.Default, err)
			}
		}
		if s.field.Type == reflect.TypeFor[secret.String]() && (s.Flag != "" || !names[s.Name+"_FILE"]) {
			t.Errorf("%s is secret: it must have no flag, and a twin %s_FILE", s.Name, s.Name)
		}
	}
}
