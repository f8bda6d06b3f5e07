package localservices

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// An alert that is posted arrives at the webhook of the configuration.
func TestAlertmanagerNotifies(t *testing.T) {
	var arrived atomic.Value
	webhook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message struct {
			Alerts []struct{ Labels map[string]string }
		}
		if err := json.NewDecoder(r.Body).Decode(&message); err == nil && len(message.Alerts) > 0 {
			arrived.Store(message.Alerts[0].Labels["alertname"])
		}
	}))
	defer webhook.Close()
	dir := sharedDir(t)
	config := fmt.Sprintf(`
route: {receiver: test, group_wait: 0s}
receivers: [{name: test, webhook_configs: [{url: %q}]}]
`, webhook.URL)
	server, err := StartAlertmanager(t.Context(), config, Options{Dir: dir})
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
	response, err := client.Post(server.URL()+"/api/v2/alerts", "application/json", strings.NewReader(`[{"labels": {"alertname": "Fire"}}]`))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("posting an alert: %s", response.Status)
	}
	eventually(t, "the webhook is called", func() bool { return arrived.Load() == "Fire" })
}

func TestAlertmanagerBadConfig(t *testing.T) {
	dir := sharedDir(t)
	_, err := StartAlertmanager(t.Context(), "route: 7", Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "cannot unmarshal") {
		t.Errorf("got %v, want the server's own reason", err)
	}
	assertNothingLeft(t, dir)
}

func TestAlertmanagerMissing(t *testing.T) {
	_, err := StartAlertmanager(t.Context(), "", Options{searchPath: []string{t.TempDir()}})
	if err == nil || !strings.Contains(err.Error(), "prometheus-alertmanager") {
		t.Errorf("got %v, want what to install", err)
	}
}
