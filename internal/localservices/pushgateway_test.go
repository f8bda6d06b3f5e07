package localservices

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// What is pushed can be scraped.
func TestPushgatewayKeeps(t *testing.T) {
	dir := sharedDir(t)
	server, err := StartPushgateway(t.Context(), Options{Dir: dir})
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
	response, err := client.Post(server.URL()+"/metrics/job/test", "text/plain", strings.NewReader("answer 42\n"))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	response, err = client.Get(server.URL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read only
	text, err := io.ReadAll(response.Body)
	if want := `answer{instance="",job="test"} 42`; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("%v: no %s in\n%s", err, want, text)
	}
}

func TestPushgatewayMissing(t *testing.T) {
	_, err := StartPushgateway(t.Context(), Options{searchPath: []string{t.TempDir()}})
	if err == nil || !strings.Contains(err.Error(), "prometheus-pushgateway") {
		t.Errorf("got %v, want what to install", err)
	}
}
