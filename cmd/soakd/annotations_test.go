package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"soakd/internal/judge"
	"soakd/internal/judge/finding"
	"soakd/internal/lockedbuffer"
)

// grafanaOf keeps the annotations that are written to it.
type grafanaOf struct {
	mu  sync.Mutex
	all []map[string]any
}

func (g *grafanaOf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var answer any = map[string]any{"message": "ok", "id": len(g.all) + 1}
	switch {
	case r.Header.Get("Authorization") != "Bearer glsa_x":
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == "/api/access-control/user/permissions":
		scopes := []string{"annotations:*"}
		answer = map[string][]string{"annotations:create": scopes, "annotations:write": scopes, "annotations:read": scopes}
	case r.Method == http.MethodGet:
		found := []map[string]any{}
		for _, one := range g.all {
			tags, _ := one["tags"].([]any)
			if slices.Contains(tags, any(r.URL.Query().Get("tags"))) {
				found = append(found, one)
			}
		}
		answer = found
	case r.Method == http.MethodPost:
		one := map[string]any{}
		if json.NewDecoder(r.Body).Decode(&one) != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		one["id"] = len(g.all) + 1
		g.all = append(g.all, one)
	}
	_ = json.NewEncoder(w).Encode(answer) // soakd may have gone
}

func (g *grafanaOf) texts() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	text, _ := json.Marshal(g.all)
	return string(text)
}

// A drill that is posted is an annotation in Grafana, with its end; the next run of the
// same soakd does not write it again, and the metrics count it.
func TestEventsBecomeAnnotations(t *testing.T) {
	kept := &grafanaOf{}
	server := httptest.NewServer(kept)
	defer server.Close()
	target := serveHandler(t, http.HandlerFunc(anything))
	t.Setenv("SOAKD_GRAFANA_TOKEN", "glsa_x")
	t.Setenv("SOAKD_HISTORY_URL", filepath.Join(t.TempDir(), "history.db"))
	for turn := range 2 {
		var log lockedbuffer.Buffer
		d, stop := running(t, &log, "--target-url", target, "--target-name", "staging", "--rate", "1", "--progress-interval", "0s",
			"--enable-lifecycle", "--grafana-url", server.URL, "--grafana-tags", "team a", "--external-url", "https://soakd.example/?a=1&b=2", "--circuit-error-ratio", "0")
		if turn == 0 {
			code, text := change(t, http.MethodPost, d.server.URL()+"/api/v1/events", `{"kind":"drill","text":"<b onclick=x>Redis</b> stopped","duration":"10m"}`)
			if code != http.StatusCreated {
				t.Fatalf("%d %s", code, text)
			}
		}
		wait(t, "the annotation", func() bool { f := d.annotator.writer.Figures(); return f.Sent == 1 && f.Pending == 0 }, &log)
		if _, page := change(t, http.MethodGet, d.server.URL()+"/metrics", ""); !strings.Contains(page, `soakd_annotations_total{result="sent"} 1`) {
			t.Error("the metrics do not count it")
		}
		stop()
		if strings.Contains(log.String(), "glsa_x") || strings.Contains(log.String(), "level=WARN msg=\"annotation") {
			t.Errorf("the log:\n%s", &log)
		}
	}
	var drills []map[string]any
	for _, one := range kept.all {
		if strings.Contains(one["text"].(string), "drill") {
			drills = append(drills, one)
		}
	}
	if len(drills) != 1 {
		t.Fatalf("Grafana has %s", kept.texts())
	}
	one := drills[0]
	if text := one["text"]; text != `<b>drill</b> &lt;b onclick=x&gt;Redis&lt;/b&gt; stopped<br><a href="https://soakd.example/?a=1&amp;b=2">soakd</a>` {
		t.Errorf("text %s", text)
	}
	if one["timeEnd"].(float64)-one["time"].(float64) != 600_000 {
		t.Errorf("from %v to %v", one["time"], one["timeEnd"])
	}
	tags, _ := one["tags"].([]any)
	if len(tags) != 6 || tags[0] != "soakd" || tags[1] != "target:staging" || tags[2] != "kind:drill" || tags[4] != "instance:soakd" || tags[5] != "team a" {
		t.Errorf("tags %v", tags)
	}
}

// What a finding is becomes one note, from its onset to its end, also when it turns out
// to be part of another.
func TestAFindingIsOneAnnotation(t *testing.T) {
	a := &annotator{first: []string{"soakd"}, link: "http://127.0.0.1:9470"}
	onset := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f := &judge.Finding{
		ID: "20260301T120000Z-latency-abc", Kind: finding.Latency, Subject: finding.Subject{Case: "forecast"}, Onset: onset, Ended: onset.Add(time.Hour),
		Text: "p99 rose from 20 ms to 1 s <script>", Nearby: []judge.Event{{Kind: judge.Drill, Text: "slow"}}, Hints: []finding.Hint{{Text: "cpu rose"}},
	}
	n := a.finding(&judge.Event{Kind: judge.FindingEnded, Finding: f.ID, At: onset.Add(2 * time.Hour)}, f)
	want := "<b>latency</b> case forecast<br>p99 rose from 20 ms to 1 s &lt;script&gt;<br>near its start: drill: slow<br>moved with it: cpu rose<br>finding " + f.ID + ` · <a href="http://127.0.0.1:9470">soakd</a>`
	if n.Text != want || !n.Time.Equal(onset) || !n.End.Equal(f.Ended) || n.Key != "finding:"+f.ID || !slices.Contains(n.Tags, n.Key) {
		t.Errorf("%+v", n)
	}
	gone := a.finding(&judge.Event{Kind: judge.FindingRenamed, Finding: f.ID, At: onset.Add(time.Minute), Text: "is part of x"}, nil)
	if !gone.Time.IsZero() || !gone.End.Equal(onset.Add(time.Minute)) || gone.Tags != nil || !strings.HasPrefix(gone.Text, "is part of x<br>") {
		t.Errorf("%+v", gone)
	}
}

func TestGrafanaSettings(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"URL": "http://g:3000", "TOKEN": "x"}, ""},
		{map[string]string{"URL": "http://g:3000"}, "SOAKD_GRAFANA_TOKEN: not set: SOAKD_GRAFANA_URL needs the token of a service account"},
		{map[string]string{"TOKEN": "x"}, "SOAKD_GRAFANA_URL: not set, and there is a SOAKD_GRAFANA_TOKEN"},
		{map[string]string{"URL": "http://admin:hunter2@g:3000", "TOKEN": "x"}, "SOAKD_GRAFANA_URL: it holds a user or a password"},
		{map[string]string{"URL": "http://g", "TOKEN": "a b"}, "SOAKD_GRAFANA_TOKEN: it holds spaces"},
		{map[string]string{"URL": "http://g", "TOKEN": "x", "TOKEN_FILE": "/y"}, "SOAKD_GRAFANA_TOKEN, SOAKD_GRAFANA_TOKEN_FILE: give the value or the file"},
		{map[string]string{"URL": "http://g", "TOKEN": "x", "TAGS": "a,,b"}, "SOAKD_GRAFANA_TAGS: \"\" must be 1 to 50 bytes"},
		{map[string]string{"URL": "http://g", "TOKEN": "x", "TAGS": "a,b,c,d,e,f"}, "SOAKD_GRAFANA_TAGS: 6 tags"},
		{map[string]string{"URL": "http://g", "TOKEN": "x", "DASHBOARD_UID": "a/b"}, "SOAKD_GRAFANA_DASHBOARD_UID: \"a/b\""},
		{map[string]string{"URL": "http://g", "TOKEN": "x", "CA_FILE": "/no/such"}, "SOAKD_GRAFANA_CA_FILE: read the authorities: open /no/such"},
		{map[string]string{"TAGS": "a"}, "SOAKD_GRAFANA_URL: not set: SOAKD_GRAFANA_DASHBOARD_UID"},
	} {
		t.Run(test.want, func(t *testing.T) {
			t.Setenv("SOAKD_TARGET_URL", "http://127.0.0.1:1")
			for name, value := range test.env {
				t.Setenv("SOAKD_GRAFANA_"+name, value)
			}
			_, err := readConfig(command{name: "run"}, nil, io.Discard)
			if (err == nil) != (test.want == "") || (err != nil && (!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2"))) {
				t.Errorf("%v", err)
			}
		})
	}
}

// `soakd check` says whether annotations can be written, and writes none.
func TestCheckAsksGrafana(t *testing.T) {
	kept := &grafanaOf{}
	server := httptest.NewServer(kept)
	defer server.Close()
	for token, want := range map[string]string{
		"glsa_x": "the token may write annotations", "other": "Grafana answered 401",
	} {
		t.Setenv("SOAKD_GRAFANA_TOKEN", token)
		t.Setenv("SOAKD_TARGET_URL", serveHandler(t, http.HandlerFunc(anything)))
		t.Setenv("SOAKD_GRAFANA_URL", server.URL)
		var stdout lockedbuffer.Buffer
		if err := run(t.Context(), []string{"check"}, &stdout, io.Discard); err == nil {
			t.Error("the target answers nothing right, and nothing was said")
		}
		if !strings.Contains(stdout.String(), "Grafana: ") || !strings.Contains(stdout.String(), want) || len(kept.all) != 0 {
			t.Errorf("%s", &stdout)
		}
	}
}
