package dashboards

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"soakd/internal/localservices"
)

// victoriaName is the name of the server that is a VictoriaMetrics.
const victoriaName = "victoria"

// startVictoria starts a VictoriaMetrics that scrapes the stand and a vmalert that
// evaluates the rules on it; nil where they are not installed.
func startVictoria(t *testing.T, soakds map[string]*process) *server {
	t.Helper()
	victoria, err := localservices.StartVictoriaMetrics(t.Context(), fmt.Sprintf(everySecond, "")+scrapeConfig(t, soakds, false), localservices.Options{Dir: t.TempDir()})
	if errors.Is(err, localservices.ErrNoVictoriaMetrics) {
		t.Logf("left out: %v", err)
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, victoria)
	content, err := RulesYAML(Default().Rules())
	if err != nil {
		t.Fatal(err)
	}
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(rules, content, 0o600); err != nil {
		t.Fatal(err)
	}
	notified := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(notified.Close)
	alert, err := localservices.StartVMAlert(t.Context(), rules, victoria, notified.URL, localservices.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, alert)
	return &server{name: victoriaName, settings: Default(), kind: victoria.Kind(), apiClient: newClient(t, victoria.URL())}
}

// differs lists the queries that this kind of server cannot answer as Prometheus does.
func (s *server) differs() []string {
	if s.name != victoriaName {
		return nil
	}
	return []string{}
}

// behind is how long VictoriaMetrics takes until what it has scraped can be asked for.
const behind = 15 * time.Second

// rangeOf asks for the last half minute that both servers know, at the same moments,
// and returns the mean of each series.
func (s *server) rangeOf(t *testing.T, text string, end time.Time) map[string]float64 {
	t.Helper()
	var data struct {
		Result []struct {
			Metric map[string]string
			Values [][2]any
		}
	}
	err := s.get(t.Context(), "/api/v1/query_range", url.Values{
		"query": {ofJob(text, demoJob)}, "step": {"2s"},
		"start": {strconv.FormatInt(end.Add(-20*time.Second).Unix(), 10)}, "end": {strconv.FormatInt(end.Unix(), 10)},
	}, &data)
	if err != nil {
		t.Errorf("%s: %v\n  %s", s.name, err, text)
	}
	means := map[string]float64{}
	for _, series := range data.Result {
		sum, n := 0.0, 0
		for _, v := range series.Values {
			value, err := strconv.ParseFloat(v[1].(string), 64)
			if err == nil && !math.IsNaN(value) {
				sum, n = sum+value, n+1
			}
		}
		if n > 0 {
			means[labelText(series.Metric)] = sum / float64(n)
		}
	}
	return means
}

// labelText writes labels in order. Buckets have the same limit however a server
// writes it.
func labelText(labels map[string]string) string {
	var all []string
	for name, value := range labels {
		if number, err := strconv.ParseFloat(value, 64); name == "le" && err == nil {
			value = strconv.FormatFloat(number, 'g', -1, 64)
		}
		all = append(all, fmt.Sprintf("%s=%q", name, value))
	}
	slices.Sort(all)
	return "{" + strings.Join(all, ",") + "}"
}

// compareServers asks both servers all queries over the same stretch of a healthy
// demo: the same series, and means that are alike.
func compareServers(t *testing.T, want, got *server) {
	t.Helper()
	end := time.Now().Truncate(time.Second)
	select {
	case <-t.Context().Done():
	case <-time.After(behind):
	}
	same, off := 0, 0
	for _, q := range queriesOf(Default()) {
		a, b := want.rangeOf(t, q.text, end), got.rangeOf(t, q.text, end)
		var only []string
		for labels, v := range a {
			w, there := b[labels]
			switch {
			case !there:
				only = append(only, "only Prometheus: "+labels)
			case !alike(v, w):
				only = append(only, fmt.Sprintf("%s: %.4g, VictoriaMetrics %.4g", labels, v, w))
			}
		}
		for labels := range b {
			if _, there := a[labels]; !there {
				only = append(only, "only VictoriaMetrics: "+labels)
			}
		}
		if len(only) == 0 {
			same++
			continue
		}
		off++
		slices.Sort(only)
		t.Logf("%s differs (%d of %d series): %.600s\n  %s", q.where, len(only), len(a), strings.Join(only, "\n    "), q.text)
	}
	t.Logf("of %d queries %d give the same", same+off, same)
}

// alike allows for the two servers scraping at different moments.
func alike(a, b float64) bool {
	return math.Abs(a-b) <= 0.15*max(math.Abs(a), math.Abs(b)) || math.Abs(a-b) < 1e-9
}
