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
	"regexp"
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
	if os.Getenv("TEST_VICTORIA") == "" {
		t.Log("VictoriaMetrics is left out: make test-victoria asks it too")
		return nil
	}
	victoria, err := localservices.StartVictoriaMetrics(t.Context(), fmt.Sprintf(everySecond, "")+scrapeConfig(t, soakds, false), localservices.Options{Dir: t.TempDir()})
	if errors.Is(err, localservices.ErrNoVictoriaMetrics) {
		t.Logf("left out: %v", err)
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, victoria)
	content, err := RulesYAML(atOnce(Default().Rules()))
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
	if !s.settings.Native || !s.old {
		return nil
	}
	var all []string
	for _, q := range queriesOf(s.settings) {
		if recordedHistogram.MatchString(q.text) {
			all = append(all, q.where)
		}
	}
	return all
}

// recordedHistogram matches what reads recorded native histograms. Prometheus 2.42
// cannot: it has no avg_over_time of them (2.48 has), and refuses some that it should
// record ([server.rounds]). The native variant is for Prometheus 3.
var recordedHistogram = regexp.MustCompile(`instance_class:soakd_http_[a-z_]+_seconds:rate2m`)

// rangeOf asks for the 20 s before end and returns the mean of each series.
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
// demo: three of four must give the same series with means that are alike. The others
// are of what moves from one second to the next, and the two do not scrape at the
// same moment, or of what docs/victoriametrics.md names: on an idle machine 3 of
// 100, on one that is very busy more than 10, since vmalert then leaves out
// recordings as well.
func compareServers(t *testing.T, want, got *server, end time.Time) {
	t.Helper()
	queries, off := queriesOf(Default()), 0
	for _, q := range queries {
		a, b := want.rangeOf(t, q.text, end), got.rangeOf(t, q.text, end)
		var unlike []string
		for labels, v := range a {
			if w, there := b[labels]; !there {
				unlike = append(unlike, "only Prometheus has "+labels)
			} else if !alike(v, w) {
				unlike = append(unlike, fmt.Sprintf("%s: %.4g, %s %.4g", labels, v, got.name, w))
			}
		}
		for labels := range b {
			if _, there := a[labels]; !there {
				unlike = append(unlike, "only "+got.name+" has "+labels)
			}
		}
		if len(unlike) > 0 {
			off++
			slices.Sort(unlike)
			t.Logf("%s: %d of %d series differ: %.300s", q.where, len(unlike), len(a), strings.Join(unlike, "; "))
		}
	}
	t.Logf("of %d queries %d give the same on both servers", len(queries), len(queries)-off)
	if 4*off > len(queries) {
		t.Errorf("%d of %d queries give other values on %s", off, len(queries), got.name)
	}
}

// alike allows for the two servers scraping at different moments.
func alike(a, b float64) bool {
	return math.Abs(a-b) <= 0.15*max(math.Abs(a), math.Abs(b)) || math.Abs(a-b) < 1e-9
}
