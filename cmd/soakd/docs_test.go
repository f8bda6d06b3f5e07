package main

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"regexp"
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
		"SOAKD_ENDPOINT_PROBES": "a=http://127.0.0.1:1/", "SOAKD_TCP_PROBES": "a=127.0.0.1:1", "SOAKD_DNS_PROBES": "a=x.example server=127.0.0.1:1",
		"SOAKD_CERTIFICATE_PROBES": "a=127.0.0.1:1", "SOAKD_EXPORTER_PROBES": "a=http://127.0.0.1:1/", "SOAKD_EXPORTER_SERIES": "x=a:y;z=a:y_total",
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

func TestSettingsDocIsCurrent(t *testing.T) {
	cfg := newConfig()
	var b strings.Builder
	b.WriteString("# Settings\n\nWritten by `make docs`; a test keeps it current. They are environment variables; `soakd run --help` lists the flags of the same\n" +
		"names (`--rate` is `SOAKD_RATE`), which win. Secrets have no flag, and a twin `_FILE`. Unknown variables that start with `SOAKD_`\n" +
		"are errors, so are settings of the other load model, and all mistakes are reported at once.\n")
	settingsTable(&b, "Traffic and soakd itself", settingsOf(cfg))
	for _, kind := range cfg.kinds {
		settingsTable(&b, "Probe: "+kind.Name, settingsOf(kind.Config))
	}
	current(t, "../../SETTINGS.md", b.String())
}

func settingsTable(b *strings.Builder, title string, settings []setting) {
	fmt.Fprintf(b, "\n## %s\n\n| variable | default | meaning |\n|---|---|---|\n", title)
	for _, s := range settings {
		fallback := ""
		if s.Default != "" {
			fallback = "`" + s.Default + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", s.Name, fallback, strings.ReplaceAll(s.Desc, "|", `\|`))
	}
}

// What a setting is about is told without the one before it: the help lists them by name.
func TestSettingsStandAlone(t *testing.T) {
	back := regexp.MustCompile(`^(Nor|And|File (that holds|with) (that|those)|How long that|\S+ (in|of|from) (that|these|those|them)\b)|\bauthentication there\b`)
	for _, s := range newConfig().settings() {
		if back.MatchString(s.Desc) {
			t.Errorf("%s: %s", s.Name, s.Desc)
		}
	}
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
