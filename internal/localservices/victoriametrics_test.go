package localservices

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A VictoriaMetrics scrapes, and a vmalert beside it has the rules. What they have
// written can be asked for only some 10 s later; the test of the dashboards does.
// It is no must for the tests: where it is not installed this says so.
func TestVictoriaMetricsScrapes(t *testing.T) {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "answer_total 42\n")
	}))
	defer target.Close()
	notified := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer notified.Close()
	dir := sharedDir(t)
	server, err := StartVictoriaMetrics(t.Context(), fmt.Sprintf(`
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: test
    static_configs: [{targets: [%q]}]
`, target.Listener.Addr()), Options{Dir: dir})
	if errors.Is(err, ErrNoVictoriaMetrics) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	rules := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(rules, []byte("groups: [{name: g, rules: [{record: half, expr: answer_total / 2}]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	alert, err := StartVMAlert(t.Context(), rules, server, notified.URL, Options{Dir: dir})
	if err != nil {
		t.Fatal(err, server.Stop())
	}
	defer func() {
		for _, err := range []error{alert.Stop(), server.Stop()} {
			if err != nil {
				t.Error(err)
			}
		}
		assertNothingLeft(t, dir)
	}()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for address, want := range map[string]string{
		server.URL() + "/api/v1/targets": `"health":"up"`, alert.URL() + "/api/v1/rules": "answer_total / 2",
	} {
		eventually(t, address, func() bool {
			response, err := client.Get(address)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close() //nolint:errcheck // read only
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			return strings.Contains(string(body), want)
		})
	}
}

func TestVictoriaMetricsBadConfig(t *testing.T) {
	dir := sharedDir(t)
	_, err := StartVictoriaMetrics(t.Context(), "scrape_configs: 7", Options{Dir: dir})
	if errors.Is(err, ErrNoVictoriaMetrics) {
		t.Skip(err)
	}
	if err == nil || !strings.Contains(err.Error(), "cannot unmarshal") {
		t.Errorf("got %v, want the server's own reason", err)
	}
	assertNothingLeft(t, dir)
}

func TestNoVictoriaMetrics(t *testing.T) {
	_, err := StartVictoriaMetrics(t.Context(), "", Options{searchPath: []string{t.TempDir()}})
	if !errors.Is(err, ErrNoVictoriaMetrics) {
		t.Errorf("got %v, want how to install it", err)
	}
}
