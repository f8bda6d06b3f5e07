package judge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// story tells a judge, minute by minute from 0 on, what its detectors see.
type story struct {
	t     *testing.T
	judge *Judge
	start time.Time
	seen  map[string]finding.Symptom
}

// scripted is a detector that sees what the story says.
type scripted struct{ story *story }

func (s scripted) Observe(*window.Window) []finding.Symptom {
	var now []finding.Symptom
	for _, one := range s.story.seen {
		now = append(now, one)
	}
	return now
}

func newStory(t *testing.T) *story {
	t.Helper()
	j, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := &story{t: t, judge: j, start: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), seen: map[string]finding.Symptom{}}
	j.detectors = []*placed{{detector: scripted{s}, level: window.Minute}}
	return s
}

func (s *story) at(minute int) time.Time { return s.start.Add(time.Duration(minute) * time.Minute) }

// sees adds a symptom with that onset.
func (s *story) sees(kind finding.Kind, subject finding.Subject, onset int) {
	s.seen[string(kind)+subject.String()] = finding.Symptom{
		Kind: kind, Subject: subject, Onset: s.at(onset), Confidence: 0.999, Text: fmt.Sprintf("%s of %s", kind, subject),
	}
}

// forgets ends a symptom: the detector does not mention it any more.
func (s *story) forgets(kind finding.Kind, subject finding.Subject) {
	delete(s.seen, string(kind)+subject.String())
}

// minute passes.
func (s *story) minute(n int, version string) {
	for i := range 6 {
		s.judge.Window(&window.Window{Start: s.at(n).Add(time.Duration(i) * window.Short), Length: window.Short, Covered: window.Short, Fit: window.Short, Version: version})
	}
}

// names lists the findings as kind(symptoms), with a + while they last.
func (s *story) names() string {
	var list []string
	for _, f := range s.judge.Findings() {
		open := ""
		if f.Open() {
			open = "+"
		}
		list = append(list, fmt.Sprintf("%s(%d)%s", f.Kind, len(f.Symptoms), open))
	}
	return strings.Join(list, " ")
}

func (s *story) want(minute int, want string) {
	s.t.Helper()
	if got := s.names(); got != want {
		s.t.Errorf("minute %d: %q, want %q", minute, got, want)
	}
}

func forCase(name string) finding.Subject   { return finding.Subject{Case: name, Class: "standard"} }
func forSignal(name string) finding.Subject { return finding.Subject{Signal: name, Target: "api"} }

// What is seen first need not be the cause: the finding is named anew when that is seen.
func TestTheCauseNamesTheFinding(t *testing.T) {
	s := newStory(t)
	s.sees(finding.Latency, forCase("forecast"), 1)
	s.minute(3, "v1")
	s.want(3, "latency(1)+")
	id := s.judge.Findings()[0].ID
	s.sees(finding.CacheIneffective, forSignal("hits"), 0)
	s.minute(4, "v1")
	s.want(4, "cache_ineffective(2)+")
	if f := s.judge.Findings()[0]; f.ID != id || f.Subject != forSignal("hits") || !f.Onset.Equal(s.at(0)) || !f.Found.Equal(s.at(4)) {
		t.Errorf("%+v, id was %s", f, id)
	}
	s.seen = map[string]finding.Symptom{}
	s.minute(5, "v1")
	s.want(5, "cache_ineffective(2)")
	var kinds []string
	for _, e := range s.judge.Events(0) {
		kinds = append(kinds, string(e.Kind))
	}
	if got := strings.Join(kinds, " "); got != "finding_opened finding_renamed finding_ended" {
		t.Errorf("events %s", got)
	}
}

// Two findings that turn out to have one cause become one.
func TestACommonCauseJoinsFindings(t *testing.T) {
	s := newStory(t)
	s.sees(finding.Latency, forCase("forecast"), 1)
	s.sees(finding.Errors, finding.Subject{Class: "sensitivity"}, 30)
	s.minute(31, "v1")
	s.want(31, "errors(1)+ latency(1)+")
	s.sees(finding.Outage, finding.Subject{Target: "redis"}, 0)
	s.minute(32, "v1")
	s.want(32, "outage(3)+")
}

func TestWhatHasNothingToDoWithEachOtherStaysApart(t *testing.T) {
	for name, test := range map[string]func(*story){
		"at other times": func(s *story) {
			s.sees(finding.GCPauses, forSignal("gc"), 0)
			s.sees(finding.Latency, forCase("a"), 60)
		},
		"outages of two dependencies": func(s *story) {
			s.sees(finding.Outage, finding.Subject{Target: "redis"}, 0)
			s.sees(finding.Outage, finding.Subject{Target: "postgres"}, 1)
		},
		"lost data and an outage": func(s *story) {
			s.sees(finding.Outage, finding.Subject{Target: "postgres"}, 0)
			s.sees(finding.DataLost, forCase("a"), 0)
		},
		"a leak and slower requests": func(s *story) {
			s.sees(finding.Leak, forSignal("soakd_api_heap_bytes"), 0)
			s.sees(finding.Latency, forCase("a"), 0)
		},
		"leaks of Redis and the API": func(s *story) {
			s.sees(finding.Leak, forSignal("soakd_api_heap_bytes"), 0)
			s.sees(finding.Leak, finding.Subject{Signal: "soakd_redis_memory_used_bytes", Target: "redis"}, 0)
		},
		"errors and a leaked trace": func(s *story) {
			s.sees(finding.Errors, forCase("a"), 0)
			s.sees(finding.LeakedInternals, forCase("b"), 0)
		},
	} {
		s := newStory(t)
		test(s)
		s.minute(90, "v1")
		if got := len(s.judge.Findings()); got != 2 {
			t.Errorf("%s: %s", name, s.names())
		}
	}
}

// What is left behind by each request shows in several resources.
func TestLeaksOfOneThingAreOneFinding(t *testing.T) {
	s := newStory(t)
	s.sees(finding.Leak, forSignal(`soakd_api_resident_memory_bytes{replica="main"}`), 0)
	s.sees(finding.Leak, forSignal(`soakd_api_open_fds{replica="main"}`), 60)
	s.sees(finding.Leak, finding.Subject{Signal: `soakd_postgres_backends{application="api"}`, Target: "postgres"}, 20)
	s.minute(180, "v1")
	s.want(180, "leak(3)+")
	if f := s.judge.Findings()[0]; !strings.HasPrefix(f.Subject.Signal, "soakd_postgres_backends") {
		t.Errorf("named by %s", f.Subject.Signal)
	}
}

// A symptom that needs minutes of data joins the short cause that is over by then.
func TestALateEffectJoinsACauseThatIsOver(t *testing.T) {
	s := newStory(t)
	s.sees(finding.Outage, finding.Subject{Target: "api"}, 0)
	s.minute(0, "v1")
	s.forgets(finding.Outage, finding.Subject{Target: "api"})
	s.minute(1, "v1")
	s.want(1, "outage(1)")
	s.sees(finding.Errors, forCase("forecast"), 0)
	s.minute(5, "v1")
	s.want(5, "outage(2)+")
	s.forgets(finding.Errors, forCase("forecast"))
	s.minute(6, "v1")
	s.want(6, "outage(2)")
	s.sees(finding.Errors, forCase("forecast"), 60)
	s.minute(60, "v1")
	s.want(60, "outage(2) errors(1)+")
}

// A restart that brings another version is a deployment, one without is not.
func TestADeploymentIsNoFinding(t *testing.T) {
	s := newStory(t)
	s.minute(0, "v1")
	s.sees(finding.Restarts, finding.Subject{Target: "api"}, 1)
	s.minute(1, "v2")
	s.want(1, "")
	s.forgets(finding.Restarts, finding.Subject{Target: "api"})
	s.minute(2, "v2")
	s.sees(finding.Restarts, finding.Subject{Target: "api"}, 30)
	s.minute(30, "v2")
	s.want(30, "restarts(1)+")
}

// Whatever is wrong with the traffic costs an objective its budget.
func TestAnObjectiveIsMissedForAReason(t *testing.T) {
	s := newStory(t)
	s.sees(finding.Objective, finding.Subject{Objective: "latency", Class: "standard"}, 20)
	s.sees(finding.LatencyDrift, forCase("forecast"), 0)
	s.minute(25, "v1")
	s.want(25, "latency_drift(2)+")
	if events := s.judge.Findings()[0].Nearby; len(events) != 0 {
		t.Errorf("nearby %v", events)
	}
}

func TestEventsNearTheOnsetAreSetBesideIt(t *testing.T) {
	s := newStory(t)
	s.minute(0, "v1")
	s.judge.Annotate(s.at(11), "index dropped", "")
	s.minute(12, "v1")
	s.sees(finding.Latency, forCase("forecast"), 12)
	s.minute(20, "v1")
	f := s.judge.Findings()[0]
	if len(f.Nearby) != 1 || f.Nearby[0].Text != "index dropped" {
		t.Errorf("nearby %+v", f.Nearby)
	}
}

// Every kind has a place in the verdict and explains no user's loss away.
func TestKinds(t *testing.T) {
	for _, kind := range finding.Kinds() {
		if part(kind) == "" {
			t.Errorf("%s counts against nothing", kind)
		}
		for _, effect := range effects(kind) {
			if part(effect) == "answers" && effect != finding.InvalidServerError {
				t.Errorf("%s explains %s away", kind, effect)
			}
		}
	}
}

func TestVerdict(t *testing.T) {
	s := newStory(t)
	if v := s.judge.Verdict(true); v.Result != Unknown || !strings.Contains(v.Text, "no window of 10 s is over yet") {
		t.Errorf("%+v", v)
	}
	s.minute(0, "v1")
	if v := s.judge.Verdict(true); v.Result != Unknown || !strings.Contains(v.Text, "no request came to an end") {
		t.Errorf("%+v", v)
	}
	ok := window.Window{Start: s.at(1), Length: window.Short, Covered: window.Short, Fit: window.Short, Cases: []window.Case{{Name: "a", Outcomes: []window.Count{{Name: "ok", N: 100}}}}}
	s.judge.Window(&ok)
	v := s.judge.Verdict(true)
	if v.Result != Pass || v.Requests != 100 || v.FitWindows != 7 || len(v.Unknown) != 2 || !strings.Contains(strings.Join(v.Unknown, "\n"), "latency: changes within the run need 20 minutes, 1 were seen") {
		t.Errorf("%+v", v)
	}
	s.sees(finding.DataLost, forCase("a"), 2)
	s.minute(2, "v1")
	if v := s.judge.Verdict(false); v.Result != Fail || !strings.Contains(v.Text, "answers: data_lost of") {
		t.Errorf("%+v", v)
	}
	s.forgets(finding.DataLost, forCase("a"))
	s.minute(3, "v1")
	if v := s.judge.Verdict(false); v.Result != Pass {
		t.Errorf("what is over counts now: %+v", v)
	}
	if v := s.judge.Verdict(true); v.Result != Fail {
		t.Errorf("what is over does not count for the run: %+v", v)
	}
}

// A missed objective has one reason or another; it does not make one of all that is
// wrong at the time, and least of all hides what users lose.
func TestACommonEffectJoinsNothing(t *testing.T) {
	s := newStory(t)
	s.sees(finding.ForeignData, forCase("history"), 0)
	s.sees(finding.RateLimited, finding.Subject{Class: "standard"}, 200)
	s.minute(210, "v1")
	s.want(210, "rate_limited(1)+ foreign_data(1)+")
	s.sees(finding.Objective, finding.Subject{Objective: "availability"}, 205)
	s.minute(215, "v1")
	s.want(215, "rate_limited(2)+ foreign_data(1)+")
}

// A symptom that comes back while its finding may still be joined is in it once.
func TestASymptomIsInAFindingOnce(t *testing.T) {
	s := newStory(t)
	s.sees(finding.RateLimited, finding.Subject{Class: "all"}, 0)
	s.sees(finding.Errors, forCase("a"), 0)
	s.minute(0, "v1")
	s.seen = map[string]finding.Symptom{}
	s.minute(1, "v1")
	s.want(1, "rate_limited(2)")
	s.sees(finding.Errors, forCase("a"), 3)
	s.minute(3, "v1")
	s.want(3, "rate_limited(2)+")
	if events := s.judge.Events(0); events[len(events)-1].Kind != FindingOpened {
		t.Errorf("nothing says that it goes on: %+v", events)
	}
}

// A cause that is told when it is over names the finding of its effects, also when
// they are over too.
func TestACauseThatIsToldAfterwardsNamesTheFinding(t *testing.T) {
	s := newStory(t)
	s.sees(finding.Errors, forCase("a"), 0)
	s.minute(0, "v1")
	s.seen = map[string]finding.Symptom{}
	s.minute(1, "v1")
	s.want(1, "errors(1)")
	s.seen["x"] = finding.Symptom{Kind: finding.Outage, Subject: finding.Subject{Target: "api"}, Onset: s.at(0), Over: true, Ended: s.at(1), Text: "away", Confidence: 1}
	s.minute(2, "v1")
	s.want(2, "outage(2)")
}

// A finding that lasts is not forgotten for another.
func TestOpenFindingsAreKept(t *testing.T) {
	s := newStory(t)
	for i := range maxFindings + 50 {
		s.sees(finding.DataLost, forCase(fmt.Sprint(i)), 0)
	}
	s.minute(0, "v1")
	events := len(s.judge.Events(0))
	s.minute(1, "v1")
	if n := len(s.judge.Findings()); n != maxFindings {
		t.Errorf("%d findings", n)
	}
	if more := len(s.judge.Events(0)) - events; more != 0 {
		t.Errorf("%d events of the same findings", more)
	}
}

// The symptoms of a finding that lasts for weeks are bounded, those that last kept.
func TestSymptomsAreBounded(t *testing.T) {
	s := newStory(t)
	s.sees(finding.RateLimited, finding.Subject{Class: "all"}, 0)
	for i := range 2 * maxSymptoms {
		s.sees(finding.Errors, forCase(fmt.Sprint(i)), i)
		s.minute(i, "v1")
		s.forgets(finding.Errors, forCase(fmt.Sprint(i)))
	}
	s.minute(2*maxSymptoms, "v1")
	f := s.judge.Findings()
	if len(f) != 1 || f[0].Kind != finding.RateLimited || len(f[0].Symptoms) > maxSymptoms {
		t.Errorf("%s", s.names())
	}
}

// The restart may be seen before the first answer of the new version.
func TestADeploymentThatIsSeenLateIsTakenBack(t *testing.T) {
	s := newStory(t)
	s.minute(0, "v1")
	s.sees(finding.Restarts, finding.Subject{Target: "api"}, 1)
	s.minute(1, "v1")
	s.want(1, "restarts(1)+")
	s.minute(4, "v2")
	s.want(4, "")
	if v := s.judge.Verdict(true); v.Result == Fail {
		t.Errorf("%+v", v)
	}
}

// A deployment after which the target restarts again and again is no deployment
// that went well.
func TestACrashLoopAfterADeploymentIsFound(t *testing.T) {
	s := newStory(t)
	s.minute(0, "v1")
	s.judge.Annotate(s.at(1), "deployed", "")
	s.sees(finding.Restarts, finding.Subject{Target: "api"}, 2)
	for i := 2; i < 60; i++ {
		s.minute(i, "v1")
	}
	s.want(60, "restarts(1)+")
}

// What happened near the start is kept for as long as the finding is, whatever else
// happens later, and bounded.
func TestNearbyIsKept(t *testing.T) {
	s := newStory(t)
	s.minute(0, "v1")
	for range 100 {
		s.judge.Annotate(s.at(11), strings.Repeat("é", 400), "")
	}
	s.sees(finding.Latency, forCase("forecast"), 12)
	s.minute(12, "v1")
	for i := range 2 * maxEvents {
		s.judge.Annotate(s.at(40), fmt.Sprint(i), "")
	}
	s.minute(40, "v1")
	near := s.judge.Findings()[0].Nearby
	if len(near) != maxNearby {
		t.Errorf("%d events nearby", len(near))
	}
	for _, e := range near {
		if !utf8.ValidString(e.Text) {
			t.Errorf("cut within a letter: %q", e.Text)
		}
	}
}

// What a finding of another name brought about is no "nothing was found".
func TestAChecksIsNotBetterThanTheTruth(t *testing.T) {
	s := newStory(t)
	for _, w := range traffic(s.at(0), 60*6, nil) {
		s.judge.Window(w)
	}
	s.sees(finding.Outage, finding.Subject{Target: "postgres"}, 60)
	s.sees(finding.Errors, forCase("a"), 60)
	s.minute(60, "v1")
	s.want(60, "outage(2)+")
	v := s.judge.Verdict(false)
	check := v.check("errors")
	if check.Result != Fail || !strings.Contains(check.Text, "errors of class standard, case a (part of outage of target postgres)") || len(check.Findings) != 1 {
		t.Errorf("%+v", check)
	}
	if check := v.check("latency"); check.Result != Pass {
		t.Errorf("%+v", check)
	}
	s.forgets(finding.Errors, forCase("a"))
	s.minute(61, "v1")
	if v := s.judge.Verdict(false); v.check("errors").Result != Pass {
		t.Errorf("what is over counts now: %+v", v)
	}
	if v := s.judge.Verdict(true); v.check("errors").Result != Fail {
		t.Errorf("what is over does not count for the run: %+v", v)
	}
}

// check returns the check of that name.
func (v *Verdict) check(name string) Check {
	i := slices.IndexFunc(v.Checks, func(c Check) bool { return c.Name == name })
	return v.Checks[i]
}

// A verdict is a line, not a book.
func TestAVerdictIsShort(t *testing.T) {
	s := newStory(t)
	for i := range 60 {
		s.sees(finding.DataLost, forCase(fmt.Sprint(i)), 0)
	}
	s.minute(0, "v1")
	v := s.judge.Verdict(true)
	if c := v.check("answers"); len(c.Findings) != 60 || len(c.Text) > 600 || !strings.HasSuffix(c.Text, "; and 55 more") {
		t.Errorf("%d findings, %q", len(c.Findings), c.Text)
	}
}

// Nobody knows the answer to a good part of the run when soakd was hardly ever fit.
func TestAVerdictSaysThatMostWasNotJudged(t *testing.T) {
	s := newStory(t)
	for _, w := range traffic(s.at(0), 100, func(i int, w *window.Window) {
		if i >= 20 {
			w.Fit, w.Unfit = 0, []string{"late"}
		}
	}) {
		s.judge.Window(w)
	}
	if v := s.judge.Verdict(true); !slices.ContainsFunc(v.Unknown, func(u string) bool { return strings.HasPrefix(u, "load: 80 of 100 windows") }) {
		t.Errorf("%q", v.Unknown)
	}
}

// That invalid requests are refused is not that the target serves anybody.
func TestOnlyRefusalsAreNoService(t *testing.T) {
	for name, change := range map[string]func(int, *window.Window){
		"valid requests fail": func(_ int, w *window.Window) {
			w.Cases[0].Outcomes = []window.Count{{Name: "unauthorized", N: 100}}
		},
		"valid requests are told to wait": func(_ int, w *window.Window) {
			w.Cases[0].Outcomes = []window.Count{{Name: "rate_limited", N: 100}}
		},
	} {
		s := newStory(t)
		for _, w := range traffic(s.at(0), 60, change) {
			s.judge.Window(w)
		}
		if v := s.judge.Verdict(true); v.Result != Fail {
			t.Errorf("%s: %s", name, v.Text)
		}
	}
	s := newStory(t)
	for _, w := range traffic(s.at(0), 1, func(_ int, w *window.Window) {
		w.Cases[0].Outcomes = []window.Count{{Name: "ok", N: 7}, {Name: "server_error", N: 93}}
	}) {
		s.judge.Window(w)
	}
	if v := s.judge.Verdict(true); v.Result != Fail || v.check("errors").Text != "93 of 100 valid requests were not answered rightly" {
		t.Errorf("a short run: %s", v.Text)
	}
	s = newStory(t)
	for _, w := range traffic(s.at(0), 60, func(_ int, w *window.Window) { w.Cases = w.Cases[1:] }) {
		s.judge.Window(w)
	}
	if v := s.judge.Verdict(true); v.Result != Unknown {
		t.Errorf("only invalid requests: %s", v.Text)
	}
}

// Two versions that take turns, restarts without end and a rate that is never the
// same do not fill the log.
func TestEventsOfWindowsAreBounded(t *testing.T) {
	s := newStory(t)
	for i, w := range traffic(s.at(0), 3*360, func(i int, w *window.Window) {
		w.Version, w.Rate = []string{"v1", "v2"}[i%2], []float64{1, 2}[i%2]
		w.Signals = []window.Signal{{Name: "soakd_api_restarts_total", Labels: `replica="main"`, Kind: window.Counter, N: 1, Increase: 1}}
	}) {
		s.judge.Window(w)
		if i == 350 && len(s.judge.Events(0)) != 3*maxPerHour {
			t.Errorf("%d events in an hour", len(s.judge.Events(0)))
		}
	}
	if n := len(s.judge.Events(0)); n != 9*maxPerHour {
		t.Errorf("%d events in three hours", n)
	}
}

// What has lasted for days does not explain what came with a deployment.
func TestADeploymentIsNearerThanWhatLasts(t *testing.T) {
	for _, deployed := range []bool{false, true} {
		s := newStory(t)
		s.minute(0, "v1")
		s.sees(finding.RateLimited, finding.Subject{Class: "all"}, 0)
		s.minute(1, "v1")
		version, want := "v1", "rate_limited(2)+"
		if deployed {
			version, want = "v2", "rate_limited(1)+ latency(1)+"
		}
		s.minute(600, version)
		s.sees(finding.Latency, forCase("forecast"), 601)
		s.minute(612, version)
		s.want(612, want)
		if f := s.judge.Findings(); deployed && len(f[1].Nearby) != 1 {
			t.Errorf("nearby %+v", f[1].Nearby)
		}
	}
}

// That the schedule is over is no change of the load.
func TestTheEndOfARunIsNoEvent(t *testing.T) {
	j, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i, rate := range []float64{50, 50, 0} {
		w := &window.Window{Start: start.Add(time.Duration(i) * window.Short), Length: window.Short, Covered: window.Short, Rate: rate}
		if rate > 0 {
			w.Fit = window.Short
		}
		j.Window(w)
	}
	if events := j.Events(0); len(events) != 0 {
		t.Errorf("%+v", events)
	}
}

// A drill is named by what is found near it or while it lasts, and excuses nothing.
func TestADrillIsNamedAndNoExcuse(t *testing.T) {
	for name, test := range map[string]struct {
		at, until int
		near      bool
	}{
		"just before": {at: 11, near: true}, "lasts": {at: 1, until: 40, near: true},
		"over long ago": {at: 1, until: 4}, "a moment long ago": {at: 1},
	} {
		t.Run(name, func(t *testing.T) {
			with, without := newStory(t), newStory(t)
			until := time.Time{}
			if test.until > 0 {
				until = with.at(test.until)
			}
			for _, s := range []*story{with, without} {
				s.minute(0, "v1")
				if s == with {
					s.judge.AnnotateDrill(s.at(test.at), until, "restarts of the API")
				}
				s.sees(finding.Restarts, finding.Subject{Target: "api"}, 20)
				s.minute(20, "v1")
				s.minute(21, "v1")
				s.want(21, "restarts(1)+")
			}
			near := with.judge.Findings()[0].Nearby
			if (len(near) == 1 && near[0].Kind == Drill && near[0].Text == "restarts of the API") != test.near || len(near) > 1 {
				t.Errorf("nearby %+v", near)
			}
			if a, b := with.judge.Verdict(true), without.judge.Verdict(true); a.Result != b.Result || a.Text != b.Text {
				t.Errorf("%+v\n%+v", a, b)
			}
			if n := with.judge.Readings().Events[Drill]; n != 1 || len(with.judge.Readings().Events) != len(EventKinds()) {
				t.Errorf("%d drills are counted", n)
			}
		})
	}
}
