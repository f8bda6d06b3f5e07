package localservices

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPrometheusScrapes(t *testing.T) {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "answer_total 42\n")
	}))
	defer target.Close()
	dir := sharedDir(t)
	config := fmt.Sprintf(`
global: {scrape_interval: 100ms}
scrape_configs:
  - job_name: test
    static_configs: [{targets: [%q]}]
`, target.Listener.Addr())
	server, err := StartPrometheus(t.Context(), config, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
		assertNothingLeft(t, dir)
	}()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	eventually(t, "the sample can be queried", func() bool {
		response, err := client.Get(server.URL() + "/api/v1/query?query=answer_total")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close() //nolint:errcheck // read only
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(body), `"42"`)
	})
}

func TestPrometheusBadConfig(t *testing.T) {
	dir := sharedDir(t)
	_, err := StartPrometheus(t.Context(), "scrape_configs: 7", Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "cannot unmarshal") {
		t.Errorf("got %v, want the server's own reason", err)
	}
	assertNothingLeft(t, dir)
}
