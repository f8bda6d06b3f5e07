package refapi

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// admin makes a request with the admin token; change may spoil it.
func (c *client) admin(method, path, body string, change func(*http.Request)) reply {
	c.t.Helper()
	return c.do(c.request(method, path, body, func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+adminToken)
		if change != nil {
			change(r)
		}
	}))
}

// on switches a fault on, and off when the test ends.
func (c *client) on(name, parameters string) state {
	c.t.Helper()
	var told state
	c.admin("PUT", adminPath+"faults/"+name, parameters, nil).is(200).into(&told)
	if !told.On || told.Name != name || told.Since == nil {
		c.t.Errorf("switched on: %+v", told)
	}
	return told
}

func (c *client) off(name string) {
	c.t.Helper()
	var told state
	c.admin("DELETE", adminPath+"faults/"+name, "", nil).is(200).into(&told)
	if told.On || told.Since != nil {
		c.t.Errorf("switched off: %+v", told)
	}
}

func faultsOn(name, parameters string) map[string]json.RawMessage {
	return map[string]json.RawMessage{name: json.RawMessage(parameters)}
}

func TestAdminNeedsItsToken(t *testing.T) {
	without := serve(t, func(c *Config) { c.AdminToken = noSecret() })
	for _, path := range []string{"faults", "faults/errors", "version"} {
		if got := without.admin("GET", adminPath+path, "", nil).is(404); string(got.body) != `{"detail":"no such route"}` {
			t.Errorf("%s without an admin token: %s", path, got.body)
		}
	}
	c := serve(t, nil)
	for name, header := range map[string]string{
		"none": "", "wrong": "Bearer " + adminToken + "x", "a prefix": "Bearer " + adminToken[:5], "empty": "Bearer ",
		"another scheme": "Basic " + adminToken, "a user's": "Bearer " + c.token(nil),
	} {
		got := c.admin("PUT", adminPath+"faults/errors", "{}", func(r *http.Request) { r.Header.Set("Authorization", header) }).is(401)
		if got.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: header %v", name, got.header)
		}
	}
	if c.api.effects() != nil {
		t.Error("a fault was switched on without the token")
	}
	c.admin("GET", adminPath+"faults", "", nil).is(200)
	for _, series := range []string{`http_requests_total{code="200",method="GET",route="unmatched"}`, `http_requests_total{code="401",method="PUT",route="unmatched"}`} {
		if got := c.metric(series); got != -1 {
			t.Errorf("the admin's request was counted: %s %v", series, got)
		}
	}
}

func TestAdminSaysWhatIsWrong(t *testing.T) {
	c := serve(t, nil)
	for _, test := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"PUT", "faults/memory_leek", "", 404, `no fault has this name; the nearest is memory_leak`},
		{"DELETE", "faults/slowall", "", 404, `the nearest is slow_all`},
		{"GET", "faults/", "", 404, `no fault has this name`},
		{"GET", "fault", "", 404, `there are /admin/faults`},
		{"POST", "faults", "", 405, `method`},
		{"POST", "faults/errors", "", 405, `method`},
		{"DELETE", "version", "", 405, `method`},
		{"PUT", "faults/errors", "{", 400, `the parameters are not JSON: the JSON ends too early`},
		{"PUT", "faults/errors", "[]", 400, `{"loc":["body"],"msg":"Input should be an object"`},
		{"PUT", "faults/errors", `{"ratio":2}`, 400, `{"loc":["body","ratio"],"msg":"Input should be less than or equal to 1"`},
		{"PUT", "faults/errors", `{"ratio":"1"}`, 400, `{"loc":["body","ratio"],"msg":"Input should be a number"`},
		{"PUT", "faults/errors", `{"status":404}`, 400, `{"loc":["body","status"],"msg":"Input should be greater than or equal to 500"`},
		{"PUT", "faults/errors", `{"status":500.5}`, 400, `{"loc":["body","status"],"msg":"Input should be a whole number`},
		{"PUT", "faults/errors", `{"route":"x"}`, 400, `{"loc":["body","route"],"msg":"Input should be one of: all, forecast`},
		{"PUT", "faults/errors", `{"ration":1}`, 400, `{"loc":["body","ration"],"msg":"The fault has no such parameter; the nearest it has is ratio, all are ratio, route, class, status, for"`},
		{"PUT", "faults/restart", `{"every":1,"graceful":"no"}`, 400, `Input should be a duration as a string, such as \"1m30s\"`},
		{"PUT", "faults/restart", `{"every":"1ms"}`, 400, `Input should be a duration from 100ms to 2160h0m0s`},
		{"PUT", "faults/restart", `{"graceful":"no"}`, 400, `Input should be true or false`},
		{"PUT", "faults/restart", `{}`, 409, `this API is not a process of its own`},
		{"PUT", "faults/hang", `{"for":"-1s"}`, 400, `Input should be a duration from 0s to 2160h0m0s`},
		{"PUT", "version", `{}`, 400, `{"loc":["body","version"],"msg":"Field required"`},
		{"PUT", "version", `{"version":"a\nb"}`, 400, `printable ASCII`},
		{"PUT", "version", `x`, 400, `the body is not JSON`},
	} {
		got := c.admin(test.method, adminPath+test.path, test.body, nil).is(test.status)
		if !strings.Contains(string(got.body), test.want) {
			t.Errorf("%s %s %s: got %s, want %s", test.method, test.path, test.body, got.body, test.want)
		}
	}
	if c.api.effects() != nil {
		t.Error("a fault is on")
	}
	if err := c.api.SwitchOn("errors", []byte(`{"ratio":2,"status":1}`)); err == nil || err.Error() != "switch the fault on: "+
		"ratio: Input should be less than or equal to 1; status: Input should be greater than or equal to 500" {
		t.Error(err)
	}
	cfg := config(t)
	cfg.Faults = faultsOn("eror", "")
	if _, err := New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "eror: switch the fault on: no fault has this name; the nearest is errors") {
		t.Error(err)
	}
}

func TestFaultsAreListed(t *testing.T) {
	c := serve(t, func(c *Config) { c.Faults = faultsOn("errors", `{"ratio":0.5,"for":"1h"}`) })
	c.on("latency_tail", "")
	var list []state
	c.admin("GET", adminPath+"faults", "", nil).is(200).into(&list)
	if len(list) != len(faultTable()) {
		t.Errorf("%d faults listed", len(list))
	}
	for _, told := range list {
		if on := told.Name == "errors" || told.Name == "latency_tail"; told.On != on || told.Does == "" || told.Parameters["for"] == nil {
			t.Errorf("listed %+v", told)
		}
		switch told.Name {
		case "errors":
			if told.Parameters["ratio"] != 0.5 || told.Parameters["for"] != "1h0m0s" || told.Until == nil || told.Until.Sub(*told.Since) != time.Hour {
				t.Errorf("errors: %+v", told)
			}
		case "latency_tail":
			if told.Parameters["share"] != 0.01 || told.Until != nil {
				t.Errorf("latency_tail: %+v", told)
			}
		}
	}
	c.admin("DELETE", adminPath+"faults", "", nil).is(200).into(&list)
	for _, told := range list {
		if told.On {
			t.Errorf("%s is still on", told.Name)
		}
	}
}

func TestFaultEndsByItself(t *testing.T) {
	c := serve(t, nil)
	c.on("errors", `{"ratio":1,"for":"100ms"}`)
	c.get(listPath).is(500)
	eventually(t, "it ends", func() bool { return c.get(listPath).status == 200 })
	if c.api.effects() != nil {
		t.Error("it is still on")
	}
	// One that is switched on anew keeps nothing of the first one's time.
	c.on("errors", `{"ratio":1,"for":"50ms"}`)
	c.on("errors", `{"ratio":1}`)
	end := time.Now().Add(100 * time.Millisecond)
	eventually(t, "the first one's time is over", func() bool { return time.Now().After(end) })
	c.get(listPath).is(500)
}

func TestVersionChangesAtRunTime(t *testing.T) {
	c := serve(t, nil)
	for _, version := range []string{"v-test", "v2", "v3-rc.1+build"} {
		if version != "v-test" {
			if got := c.admin("PUT", adminPath+"version", `{"version":"`+version+`"}`, nil).is(200); string(got.body) != `{"version":"`+version+`"}` {
				t.Errorf("%s", got.body)
			}
		}
		if got := c.metric(`app_info{version="` + version + `"}`); got != 1 {
			t.Errorf("app_info of %s: %v", version, got)
		}
		for _, got := range []reply{
			c.get("/health"), c.get(listPath), c.get("/nowhere"), c.post(forecastPath, "{"), c.get("/metrics"),
			c.admin("GET", adminPath+"version", "", nil), c.admin("GET", adminPath+"x", "", nil),
		} {
			if header := got.header.Get("X-App-Version"); header != version {
				t.Errorf("header %q, want %q", header, version)
			}
		}
		if got := c.get("/health"); !strings.Contains(string(got.body), `"version":"`+version+`"`) {
			t.Errorf("%s", got.body)
		}
	}
}

// The table in the contract is made of the code: `UPDATE=1 go test -run Contract ./internal/refapi`.
func TestContractListsEveryFault(t *testing.T) {
	const file, begin, end = "CONTRACT.md", "<!-- faults: made by the tests -->\n", "<!-- end of faults -->\n"
	read, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(read), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table", file)
	}
	want := before + begin + faultMarkdown() + end + after
	if want == string(read) {
		return
	}
	if os.Getenv("UPDATE") == "" {
		t.Fatalf("the table of faults in %s is old; run UPDATE=1 go test -run Contract ./internal/refapi", file)
	}
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil { //nolint:gosec // a document
		t.Fatal(err)
	}
}

// faultMarkdown writes the table of faults.
func faultMarkdown() string {
	var out strings.Builder
	out.WriteString("| fault | what it does | parameters (default; what may be given) |\n|---|---|---|\n")
	for _, one := range faultTable() {
		var parameters []string
		for _, p := range one.parameters {
			if p.name == "for" {
				continue // every fault's
			}
			kind, otherwise := p.kind()
			parameters = append(parameters, "`"+p.name+"` ("+otherwise+"; "+kind+"): "+p.means)
		}
		out.WriteString("| `" + one.name + "` | " + one.does + " | " + strings.Join(parameters, ".<br>") + " |\n")
	}
	return out.String()
}

func TestEveryFaultIsDocumented(t *testing.T) {
	names := map[string]bool{}
	for _, one := range faultTable() {
		if names[one.name] || one.does == "" || one.start == nil {
			t.Errorf("fault %q: twice, or without a description", one.name)
		}
		names[one.name] = true
		seen := map[string]bool{}
		for _, p := range one.parameters {
			if seen[p.name] || p.means == "" {
				t.Errorf("%s, parameter %q: twice, or without a meaning", one.name, p.name)
			}
			seen[p.name] = true
		}
		// The defaults are allowed, and what is shown of them reads back.
		defaults, _, err := readSettings(one.parameters, nil)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := json.Marshal(defaults)
		if err != nil {
			t.Fatal(err)
		}
		again, bad, err := readSettings(one.parameters, encoded)
		if err != nil || len(bad) > 0 {
			t.Errorf("%s: the defaults %s do not read back: %v %v", one.name, encoded, err, bad)
		}
		for name, value := range defaults {
			if again[name] != value {
				t.Errorf("%s: %s was %v, read back %v", one.name, name, value, again[name])
			}
		}
	}
	for _, name := range []string{
		"memory_leak", "goroutine_leak", "file_leak", "connection_leak", "pool_exhaustion", "slow_endpoint", "slow_all", "latency_tail",
		"latency_drift", "errors", "accept_invalid", "invalid_500", "leak_trace", "cache_off", "evictions", "lock_contention",
		"wrong_monte_carlo", "lost_scenario", "stale_read", "foreign_scenario", "restart", "dependency_down", "hang", "rate_limit", "gc_pauses",
	} {
		if !names[name] {
			t.Errorf("there is no fault %s", name)
		}
	}
}

func TestNearest(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"kitten", "sitting", 3}, // the usual example
		{"saturday", "sunday", 3},
		{"flaw", "lawn", 2},
		{"gumbo", "gambol", 2},
	} {
		if got := distance(test.a, test.b); got != test.want || distance(test.b, test.a) != got {
			t.Errorf("%s to %s is %d, want %d", test.a, test.b, got, test.want)
		}
	}
	if got := nearest(strings.Repeat("x", 1<<20), []string{"a", "b"}); got != "a" {
		t.Errorf("nearest to what is like none: %s", got)
	}
}
