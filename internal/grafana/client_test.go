package grafana_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"soakd/internal/grafana"
	"soakd/internal/secret"
)

func newClient(t *testing.T, cfg grafana.ClientConfig) *grafana.Client {
	t.Helper()
	if !cfg.Token.IsSet() {
		cfg.Token = secret.New(token)
	}
	client, err := grafana.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

var onset = time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC)

func TestAnnotationsAreAddedFoundAndChanged(t *testing.T) {
	p, server := newPretended(t)
	client := newClient(t, grafana.ClientConfig{URL: server.URL + "/grafana/", DashboardUID: "soakd-overview"})
	one := grafana.Annotation{Time: onset, Tags: []string{"soakd", "finding:a"}, Text: "slow"}
	id, err := client.Add(t.Context(), &one)
	if err != nil || id != 1 {
		t.Fatalf("id %d, %v", id, err)
	}
	if found, err := client.Find(t.Context(), "finding:a"); err != nil || found != 1 {
		t.Errorf("found %d, %v", found, err)
	}
	if found, err := client.Find(t.Context(), "finding:b"); err != nil || found != 0 {
		t.Errorf("found %d, %v", found, err)
	}
	if err := client.Change(t.Context(), id, &grafana.Annotation{End: onset.Add(time.Minute), Text: "was slow"}); err != nil {
		t.Error(err)
	}
	all, calls := p.has()
	want := kept{ID: 1, DashboardUID: "soakd-overview", Time: 1772366400005, TimeEnd: 1772366460005, Tags: []string{"soakd", "finding:a"}, Text: "was slow"}
	if len(all) != 1 || !reflect.DeepEqual(all[0], want) {
		t.Errorf("kept %+v", all)
	}
	if !reflect.DeepEqual(calls, []string{"POST /grafana/api/annotations", "GET /grafana/api/annotations", "GET /grafana/api/annotations", "PATCH /grafana/api/annotations/1"}) {
		t.Errorf("calls %v", calls)
	}
}

// What `soakd check` says changes nothing, and says what would be right.
func TestCheck(t *testing.T) {
	all := func(scope string) map[string][]string {
		return map[string][]string{"annotations:create": {scope}, "annotations:write": {scope}, "annotations:read": {scope}}
	}
	for name, test := range map[string]struct {
		granted   map[string][]string
		dashboard string
		answer    func(http.ResponseWriter, *http.Request) bool
		sure      bool
		err       string
	}{
		"editor":               {granted: all("annotations:type:organization"), sure: true},
		"everything":           {granted: all("*"), sure: true},
		"does not tell":        {},
		"viewer":               {granted: map[string][]string{"annotations:read": {"annotations:*"}}, sure: true, err: "the token may not do annotations:create, annotations:write: give its service account the role Editor"},
		"dashboards only":      {granted: all("dashboards:*"), sure: true, err: "the token may not do annotations:create, annotations:write, annotations:read"},
		"of a dashboard":       {granted: all("dashboards:uid:x"), dashboard: "x", sure: true},
		"not of the dashboard": {granted: all("annotations:type:organization"), dashboard: "x", sure: true, err: "the token may not do annotations:create"},
		"token":                {answer: always(http.StatusUnauthorized), err: `Grafana answered 401 ("Unauthorized"): the token is not known or has expired: give that of a service account in SOAKD_GRAFANA_TOKEN`},
		"something else":       {answer: always(http.StatusNotFound), err: "SOAKD_GRAFANA_URL must be Grafana's own address with its path"},
		"moved":                {answer: always(http.StatusFound, "Location", "https://other.example/login?token=x"), err: `Grafana answered 302 ("Found"): it points to "https://other.example/login", which is not followed`},
	} {
		t.Run(name, func(t *testing.T) {
			p, server := newPretended(t)
			p.granted, p.answer = test.granted, test.answer
			sure, err := newClient(t, grafana.ClientConfig{URL: server.URL, DashboardUID: test.dashboard}).Check(t.Context())
			if sure != test.sure || (err == nil) != (test.err == "") || (err != nil && (!strings.Contains(err.Error(), test.err) || !grafana.Reached(err))) {
				t.Errorf("sure %v, %v", sure, err)
			}
			if _, calls := p.has(); strings.Contains(strings.Join(calls, " "), "P") { // POST, PUT, PATCH
				t.Errorf("calls %v", calls)
			}
		})
	}
}

// No answer is told from a wrong one, and neither holds the token.
func TestErrorsAreNotAboutTheToken(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	address := server.URL
	server.Close()
	_, err := newClient(t, grafana.ClientConfig{URL: address}).Check(t.Context())
	if err == nil || grafana.Reached(err) || strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>sign in</html>")) }))
	defer page.Close()
	client := newClient(t, grafana.ClientConfig{URL: page.URL})
	for what, err := range map[string]error{
		"add": func() error {
			_, err := client.Add(t.Context(), &grafana.Annotation{Time: onset, Text: "x"})
			return err
		}(),
		"find": func() error { _, err := client.Find(t.Context(), "x"); return err }(),
	} {
		var misfit *grafana.MisfitError
		if !errors.As(err, &misfit) || !grafana.Reached(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if text := fmt.Sprintf("%v %+v", client, *client); strings.Contains(text, token) {
		t.Errorf("the token shows in %s", text)
	}
}

func TestParseURL(t *testing.T) {
	for text, want := range map[string]string{
		"http://grafana:3000": "", "https://g.example/sub/": "",
		"https://user:pass-word@g.example": "it holds a user or a password", "ftp://g": "must be http://host:port", "grafana:3000": "must be http://host:port",
		"http://g/?orgId=1": "it must end before ? and #", "http://": "must be http://host:port", "http://g/%zz": "it cannot be read as a URL",
		"user:pass-word@g.example": "must be http://host:port", "https:user:pass-word@g.example": "must be http://host:port", "g.example/?key=pass-word": "must be http://host:port",
	} {
		_, err := grafana.ParseURL(text)
		if (err == nil) != (want == "") || (err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "pass-word"))) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := grafana.NewClient(grafana.ClientConfig{URL: "http://g"}); err == nil {
		t.Error("no token, and no error")
	}
}

// Nothing that a target says becomes HTML, and what is too long is cut in whole letters.
func TestTextIsHarmless(t *testing.T) {
	hostile := "<script>alert(1)</script><img src=x onerror=\"steal()\"> & 'more'\n\u202ereversed\x00"
	got := grafana.Escaped(hostile)
	if strings.ContainsAny(got, "<>\"'\n\x00\u202e") || !strings.Contains(got, "&lt;script&gt;") || !strings.Contains(got, "&amp;") {
		t.Errorf("%q", got)
	}
	long := grafana.Escaped(strings.Repeat("é", 2000))
	if len(long) > 1000 || !strings.HasSuffix(long, "é…") {
		t.Errorf("%d bytes: %q", len(long), long[len(long)-10:])
	}
}

func TestTags(t *testing.T) {
	if got := grafana.Tags("soakd", grafana.Tag("target", " a\nb:1 "), "", "soakd"); !reflect.DeepEqual(got, []string{"soakd", "target:a b:1"}) {
		t.Errorf("%q", got)
	}
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprintf("a-tag-with-number-%d", i)
	}
	// Each takes 21 to 23 bytes of the 500.
	if got := grafana.Tags(many...); len(got) < 20 || len(got) > 23 || got[0] != many[0] {
		t.Errorf("%d tags", len(got))
	}
	if tag := grafana.Tag("target", strings.Repeat("x", 300)); len(tag) > 110 {
		t.Errorf("%d bytes", len(tag))
	}
}
