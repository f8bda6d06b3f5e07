package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"soakd/internal/judge"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/outage"
	"soakd/internal/judge/window"
)

// What soakd says of a target is checked here as a user sees it: the built binary,
// the reference API as a process of its own, a real Postgres and a real Redis. What
// takes longer than a minute to be seen is tried by bench/detect -real.

// judgedRun is a soakd that judges the API of a bench.
type judgedRun struct {
	*soakdProcess
	// url is where it is served.
	url string
}

// judged starts `soakd run` against the bench. settings are further variables, such
// as A=b. How long requests take says too much of the machine: no objective is about it.
func (b *bench) judged(t *testing.T, settings []string, args ...string) *judgedRun {
	t.Helper()
	p := start(t, func(cmd *exec.Cmd) {
		cmd.Env = os.Environ()
		for name, value := range b.environment() {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		cmd.Env = append(append(cmd.Env, "SOAKD_OBJECTIVES=availability: availability>=99%"), settings...)
	}, append([]string{"run", "--listen", "127.0.0.1:0", "--probe-interval", "2s", "--probe-timeout", "2s", "--progress-interval", "0s"}, args...)...)
	return &judgedRun{p, p.find(t, `metrics +(http://\S+)/metrics`)}
}

// admin switches something in the API.
func (b *bench) admin(t *testing.T, method, path, body string) {
	t.Helper()
	status, text := ask(t, method, b.services.url()+"/admin/"+path, body, b.services.adminToken.Value())
	if status != http.StatusOK {
		t.Fatalf("%s %s answers %d %s", method, path, status, text)
	}
}

// ask sends a request and returns the answer.
func ask(t *testing.T, method, url, body, token string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	answered, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answered.Body.Close() //nolint:errcheck // read to its end
	read, err := io.ReadAll(answered.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered.StatusCode, string(read)
}

// get reads a document of /api/v1.
func (r *judgedRun) get(t *testing.T, what string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(page(t, r.url+"/api/v1/"+what)), into); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func (r *judgedRun) verdict(t *testing.T) (v judge.Verdict) {
	t.Helper()
	r.get(t, "verdict", &v)
	return v
}

func (r *judgedRun) findings(t *testing.T) []judge.Finding {
	t.Helper()
	var document struct {
		Findings []judge.Finding `json:"findings"`
	}
	r.get(t, "findings", &document)
	return document.Findings
}

func (r *judgedRun) events(t *testing.T) []judge.Event {
	t.Helper()
	var document struct {
		Events []judge.Event `json:"events"`
	}
	r.get(t, "events", &document)
	return document.Events
}

// metric returns a metric by the value of one label, and "" for none.
func (r *judgedRun) metric(t *testing.T, name, label string) map[string]float64 {
	t.Helper()
	return sum(families(t, r.url+"/metrics"), name, label)
}

// await waits for longer than wait does: what needs several windows of 10 s, and a
// recovery of 30 s among them, takes its time on a busy machine.
func (r *judgedRun) await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	const most = 3 * time.Minute
	deadline := time.NewTimer(most)
	defer deadline.Stop()
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			t.Fatalf("waited %v for %s; findings:\n%s\nlog:\n%s", most, what, told(r.findings(t)), r.stderr)
		case <-ticker.C:
		}
	}
}

// awaitHealthy waits for the first verdict and checks that it is a good one.
func (r *judgedRun) awaitHealthy(t *testing.T) {
	t.Helper()
	r.await(t, "a verdict", func() bool { return r.verdict(t).Windows > 0 })
	if v := r.verdict(t); v.Result != judge.Pass || v.Version == "" || v.Requests == 0 {
		t.Errorf("while nothing is wrong: %+v", v)
	}
	if found := r.findings(t); len(found) > 0 {
		t.Errorf("found while nothing is wrong:\n%s", told(found))
	}
	if got := r.metric(t, "soakd_verdict", ""); got[""] != 1 {
		t.Errorf("soakd_verdict is %v, want 1", got)
	}
}

// told writes findings for a failure of a test.
func told(found []judge.Finding) string {
	var b strings.Builder
	for i := range found {
		fmt.Fprintf(&b, "- %s (%s), open %v: %s\n", found[i].Kind, found[i].Subject, found[i].Open(), found[i].Text)
	}
	return b.String()
}

// kinds lists the kinds of findings, sorted.
func kinds(found []judge.Finding) []finding.Kind {
	var list []finding.Kind
	for i := range found {
		list = append(list, found[i].Kind)
	}
	slices.Sort(list)
	return list
}

// stop ends a run that has no end, in good order.
func (r *judgedRun) stop(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.end(t)
}

// What is wrong stays the same finding when soakd is restarted, also when it was
// killed in between, and that it was away is told.
func TestAFindingOutlivesRestarts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.admin(t, http.MethodPut, "faults/accept_invalid", "")
	settings := []string{"SOAKD_HISTORY_URL=" + filepath.Join(t.TempDir(), "history.db")}
	var first judge.Finding
	var known time.Time // no window that was stored ends later
	for i, ends := range []string{"stopped", "killed", "stopped"} {
		r := b.judged(t, settings, "--rate", "40", "--users", "4")
		seen := r.verdict(t).Windows
		r.await(t, "a window and a finding", func() bool { return r.verdict(t).Windows > seen && len(r.findings(t)) > 0 })
		found := r.findings(t)
		if len(found) != 1 || found[0].Kind != finding.AcceptedInvalid || !found[0].Open() {
			t.Fatalf("found\n%s", told(found))
		}
		if first.ID == "" {
			first = found[0]
		}
		// What is read back are minutes.
		if f := &found[0]; f.ID != first.ID || f.Onset.Sub(first.Onset).Abs() > time.Minute || !f.Found.Equal(first.Found) {
			t.Errorf("the finding %s of %v, found %v, was %s of %v, found %v", f.ID, f.Onset, f.Found, first.ID, first.Onset, first.Found)
		}
		count := map[judge.EventKind]int{}
		for _, e := range r.events(t) {
			count[e.Kind]++
		}
		if gaps := []int{0, 0, 1}[i]; count[judge.FindingOpened] != 1 || count[judge.Gap] != gaps { // the second began at once
			t.Errorf("run %d: events %v, want 1 that the finding was opened and %d that soakd was away", i+1, count, gaps)
		}
		if ends == "stopped" {
			r.stop(t)
			known = time.Now().Add(window.Short)
			continue
		}
		if err := r.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := r.cmd.Wait(); err == nil {
			t.Error("it was not killed")
		}
		r.await(t, "soakd to have been away for two windows", func() bool { return time.Since(known) >= 2*window.Short })
	}
}

// Redis stops answering and comes back: that is what is found, with what the API did
// meanwhile and how long it took to be as before. The same API says another version.
func TestAnOutageOfRedisAndAnotherVersion(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	// Answers take so long that a busy machine does not make it twice as long.
	b.admin(t, http.MethodPut, "faults/slow_all", `{"factor": 1, "add": "150ms"}`)
	r := b.judged(t, nil, "--rate", "40", "--users", "8")
	r.awaitHealthy(t)

	b.admin(t, http.MethodPut, "version", `{"version": "v2"}`)
	redis := b.services.redis.PID()
	resume := func() { _ = syscall.Kill(redis, syscall.SIGCONT) }
	t.Cleanup(resume) // before the bench ends it
	stopped := time.Now()
	if err := syscall.Kill(redis, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	away := func(want float64) func() bool {
		return func() bool {
			value, known := r.metric(t, "soakd_outage_in_progress", "target")["redis"]
			return known && value == want
		}
	}
	r.await(t, "the outage to be seen", away(1))
	resume()
	resumed := time.Now()
	r.await(t, "the end of the outage", away(0))
	r.await(t, "the recovery", func() bool { return r.metric(t, "soakd_recovery_seconds", "target")["redis"] == 1 })
	for target, n := range r.metric(t, "soakd_outages_total", "target") {
		if n != map[bool]float64{true: 1}[target == "redis"] {
			t.Errorf("soakd_outages_total{target=%q} is %v", target, n)
		}
	}
	r.await(t, "the finding to end", func() bool { f := r.findings(t); return len(f) > 0 && !f[0].Open() })
	found := r.findings(t)
	if len(found) != 1 || found[0].Kind != finding.Outage || found[0].Subject != (finding.Subject{Target: "redis"}) {
		t.Fatalf("found\n%s", told(found))
	}
	f := &found[0]
	const leeway = 5 * time.Second // a poll, its limit, and a busy machine
	if f.Onset.Before(stopped.Add(-leeway)) || f.Onset.After(stopped.Add(leeway)) || f.Ended.Before(resumed.Add(-leeway)) {
		t.Errorf("it was from %v to %v, and is dated %v to %v", stopped, resumed, f.Onset, f.Ended)
	}
	if !regexp.MustCompile(`^redis was away from .*; the API (was not affected|got slower: .*|failed fast: .*|let requests hang: .*)`).MatchString(f.Text) {
		t.Errorf("it is told as %q", f.Text)
	}

	var document struct {
		Outages []outage.Record `json:"outages"`
	}
	r.get(t, "outages", &document)
	if len(document.Outages) != 1 {
		t.Fatalf("outages %+v", document.Outages)
	}
	if o := &document.Outages[0]; o.Target != "redis" || o.Mode == "" || !o.End.After(o.Start) || o.Recovered.Before(o.End) || o.TimeToRecover <= 0 || o.OK == 0 || o.EndApproximate {
		t.Errorf("outage %+v", o)
	}

	events := r.events(t)
	changed := slices.IndexFunc(events, func(e judge.Event) bool { return e.Kind == judge.VersionChanged })
	if changed < 0 || events[changed].Version != "v2" {
		t.Errorf("no event tells of the version: %+v", events)
	}
	if got := r.metric(t, "soakd_target_info", "version"); !maps.Equal(got, map[string]float64{"v2": 1}) {
		t.Errorf("soakd_target_info %v", got)
	}
	if !slices.ContainsFunc(f.Nearby, func(e judge.Event) bool { return e.Kind == judge.VersionChanged }) {
		t.Errorf("near it was %+v, and not that the version changed", f.Nearby)
	}
	if v := r.verdict(t); v.Result != judge.Pass || v.Version != "v2" {
		t.Errorf("verdict when all is well again: %+v", v)
	}
	r.stop(t)
	if !strings.Contains(r.stdout.String(), "verdict: failed: recovery: redis was away") {
		t.Errorf("the end of the run does not tell of it:\n%s", r.stdout)
	}
}

// Wrong answers, switched on in an API that was well, are found each under its own
// name and nothing else is, everywhere that soakd tells of it; the run then fails.
func TestWrongAnswersAreFoundByName(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.judged(t, nil, "--duration", "40s", "--rate", "40", "--users", "4")
	r.awaitHealthy(t)
	if status, text := ask(t, http.MethodPost, r.url+"/api/v1/events", `{"text": "deployed"}`, ""); status != http.StatusForbidden || !strings.Contains(text, "SOAKD_ENABLE_LIFECYCLE") {
		t.Errorf("an event may be posted: %d %s", status, text)
	}

	b.admin(t, http.MethodPut, "faults/accept_invalid", "")
	b.admin(t, http.MethodPut, "faults/wrong_monte_carlo", "")
	// The figures that are out of order break one check or two of simulations.
	simulations := finding.Subject{Case: "forecast_monte_carlo", Class: "monte_carlo", Check: "monte_carlo"}
	want := map[finding.Kind]func(finding.Subject) bool{
		finding.AcceptedInvalid: func(s finding.Subject) bool { return s == finding.Subject{Class: "invalid"} },
		finding.WrongAnswer: func(s finding.Subject) bool {
			if s.Check == "mc_order" {
				s.Check = "monte_carlo"
			}
			return s == simulations || s == finding.Subject{Check: "monte_carlo"}
		},
	}
	r.await(t, "two findings", func() bool { return len(r.findings(t)) >= len(want) })
	found := r.findings(t)
	if got := kinds(found); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Errorf("found\n%s", told(found))
	}
	for i := range found {
		f := &found[i]
		if about := want[f.Kind]; about == nil || !about(f.Subject) || !f.Open() || f.Confidence != 1 {
			t.Errorf("%s is about %q (open %v, confidence %v)", f.Kind, f.Subject, f.Open(), f.Confidence)
		}
		if !slices.ContainsFunc(r.events(t), func(e judge.Event) bool { return e.Kind == judge.FindingOpened && e.Finding == f.ID }) {
			t.Errorf("no event tells of %s", f.ID)
		}
	}
	for kind, n := range r.metric(t, "soakd_findings", "kind") {
		if _, expected := want[finding.Kind(kind)]; n != map[bool]float64{true: 1}[expected] {
			t.Errorf("soakd_findings{kind=%q} is %v", kind, n)
		}
	}
	if got, known := r.metric(t, "soakd_verdict", "")[""]; got != 0 || !known {
		t.Errorf("soakd_verdict is %v (%v), want 0", got, known)
	}
	if v := r.verdict(t); v.Result != judge.Fail || !strings.Contains(v.Text, "invalid input was accepted") || !strings.Contains(v.Text, "mc_order") {
		t.Errorf("verdict %+v", v)
	}

	var exit *exec.ExitError
	if err := r.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		t.Errorf("ended with %v, want exit code %d; log:\n%s", err, exitFailed, r.stderr)
	}
	text := r.stdout.String()
	for _, part := range []string{"verdict: failed: answers: ", "answers are wrong: ", "found accepted_invalid, class invalid (", "found wrong_answer, "} {
		if !strings.Contains(text, part) {
			t.Errorf("the end of the run does not say %q:\n%s", part, text)
		}
	}
	if n := strings.Count(text, "\n  found "); n != len(want) {
		t.Errorf("the end of the run lists %d findings:\n%s", n, text)
	}
}
