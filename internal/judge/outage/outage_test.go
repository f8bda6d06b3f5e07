package outage

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// want is what a scenario must give. Seconds since the epoch of the tests; -1
// stands for a time that is not known.
type want struct {
	target                          string
	kind                            finding.Kind
	start, detected, end, recovered int
	mode                            Mode
	causedBy                        string
	restart, approximate            bool
	text                            string // part of it
}

func second0(t time.Time) int {
	if t.IsZero() {
		return -1
	}
	return int(t.Sub(epoch).Seconds())
}

type scenarioCase struct {
	name string
	scenario
	wants []want
	// symptoms are those that were told, as "kind target", in the order in which they came first.
	symptoms []string
	unknown  string
}

func good(int) string { return "" }

func healthy(changed map[string]func(int) string) map[string]func(int) string {
	all := map[string]func(int) string{"api": good, "postgres": good, "redis": good}
	for name, fail := range changed {
		all[name] = fail
	}
	return all
}

func restartAt(second int) func(*window.Window) {
	return func(w *window.Window) {
		if s := at(second); !s.Before(w.Start) && s.Before(w.End()) {
			w.Signals = []window.Signal{{Name: "soakd_api_restarts_total", Labels: `replica="main"`, Kind: window.Counter, N: 2, Increase: 1}}
		}
	}
}

func apiCases() []scenarioCase {
	refused := second{failed: fiftyASecond}
	return []scenarioCase{
		{name: "all is well", scenario: scenario{seconds: 600, polls: healthy(nil)}},
		{name: "a single second", scenario: scenario{seconds: 300, traffic: failing(123, 124, refused), polls: healthy(nil)}},
		{
			name:     "half of the requests",
			scenario: scenario{seconds: 300, traffic: failing(100, 200, second{ok: 25, failed: 25}), polls: healthy(nil)},
		},
		{
			name:     "away for 40 s",
			scenario: scenario{seconds: 400, traffic: failing(103, 143, refused), polls: healthy(map[string]func(int) string{"api": fails(103, 143, "connect")})},
			wants: []want{{
				target: "api", kind: finding.Outage, start: 103, detected: 110, end: 143, recovered: 143, mode: FailFast,
				text: "api was away from 03:01:43 for 40s (connect); it failed fast: 100 % of 2000 requests, mostly connect; as before at once",
			}},
			symptoms: []string{"outage api"},
		},
		{
			name:     "answers 503 for 12 s, then slow for a minute",
			scenario: scenario{seconds: 400, polls: healthy(nil), traffic: slowAfter(100, 120, 180, second{failed: 50, outcome: "server_error", took: 2 * time.Millisecond})},
			wants: []want{{
				target: "api", kind: finding.Outage, start: 100, detected: 110, end: 120, recovered: 180, mode: FailFast,
				text: "mostly server_error, after 2ms; as before 1m0s later",
			}},
			symptoms: []string{"outage api"},
		},
		{
			name:     "nearly all fail",
			scenario: scenario{seconds: 300, polls: healthy(nil), traffic: failing(100, 130, second{ok: 4, failed: 46, outcome: "server_error"})},
			wants:    []want{{target: "api", kind: finding.Outage, start: 100, detected: 110, end: 130, recovered: 130, mode: FailFast}},
			symptoms: []string{"outage api"},
		},
		{
			name: "a hang: nothing, then the timeouts of short requests",
			scenario: scenario{seconds: 300, polls: healthy(nil), traffic: func(s int) second {
				switch {
				case s < 101 || s >= 150:
					return steady(s)
				case s < 104:
					return second{}
				}
				return second{failed: 8, outcome: "timeout", took: 2 * time.Second}
			}},
			wants: []want{{
				target: "api", kind: finding.Hang, start: 101, detected: 110, end: 150, recovered: 150, mode: Hangs,
				text: "api gave no answers from 03:01:41 for 49s; it let requests hang: 100 % of 368 requests, mostly timeout, after 2",
			}},
			symptoms: []string{"hang api"},
		},
		{
			name:     "wrong answers to all",
			scenario: scenario{seconds: 300, polls: healthy(nil), traffic: failing(100, 130, second{failed: 50, outcome: "check_failed"})},
			wants:    []want{{target: "api", kind: finding.Outage, start: 100, detected: 110, end: 130, recovered: 130, mode: WrongAnswers}},
			symptoms: []string{"outage api"},
		},
		{
			name: "a restart in between",
			scenario: scenario{
				seconds: 300, traffic: failing(103, 109, second{failed: 50, outcome: "reset"}),
				polls: healthy(nil), shape: restartAt(121),
			},
			wants: []want{{
				target: "api", kind: finding.Outage, start: 103, detected: 110, end: 109, recovered: 109, mode: FailFast, restart: true,
				text: "it restarted; it failed fast",
			}},
		},
		{
			name:     "away for a moment without a restart",
			scenario: scenario{seconds: 300, traffic: failing(103, 109, refused), polls: healthy(nil)},
			wants:    []want{{target: "api", kind: finding.Outage, start: 103, detected: 110, end: 109, recovered: 109, mode: FailFast}},
			symptoms: []string{"outage api"},
		},
		{
			name: "an outage that flickers is one",
			scenario: scenario{seconds: 400, polls: healthy(nil), traffic: func(s int) second {
				if s >= 100 && s < 160 && s%15 != 0 {
					return refused
				}
				return steady(s)
			}},
			wants:    []want{{target: "api", kind: finding.Outage, start: 100, detected: 110, end: 160, recovered: 160, mode: FailFast}},
			symptoms: []string{"outage api"},
		},
		{
			name:     "two outages with a good time between",
			scenario: scenario{seconds: 600, polls: healthy(nil), traffic: twice(failing(100, 120, refused), failing(300, 330, refused))},
			wants: []want{
				{target: "api", kind: finding.Outage, start: 100, detected: 110, end: 120, recovered: 120, mode: FailFast},
				{target: "api", kind: finding.Outage, start: 300, detected: 310, end: 330, recovered: 330, mode: FailFast},
			},
			symptoms: []string{"outage api"},
		},
		{
			name:     "without seconds, to 10 s",
			scenario: scenario{seconds: 300, coarse: true, polls: healthy(nil), traffic: failing(100, 130, refused)},
			wants:    []want{{target: "api", kind: finding.Outage, start: 100, detected: 110, end: 130, recovered: 130, mode: FailFast}},
			symptoms: []string{"outage api"},
		},
		{
			name: "most requests and the probe of the API fail",
			scenario: scenario{
				seconds: 300, traffic: failing(102, 140, second{ok: 15, failed: 35, outcome: "server_error"}),
				polls: healthy(map[string]func(int) string{"api": fails(100, 140, "timeout")}),
			},
			wants:    []want{{target: "api", kind: finding.Outage, start: 101, detected: 110, end: 140, recovered: 140, mode: FailFast}},
			symptoms: []string{"outage api"},
		},
		{
			name:     "only the probe of the API fails",
			scenario: scenario{seconds: 300, polls: healthy(map[string]func(int) string{"api": fails(100, 200, "connect")})},
		},
		{
			name: "only some cases fail, all of them", // errors of a class at a low rate
			scenario: scenario{seconds: 300, polls: healthy(nil), shape: func(w *window.Window) {
				if w.Start.Before(at(100)) {
					return
				}
				w.Seconds = []window.Second{{Failed: 3}, {Failed: 2}, {Failed: 2}, {OK: 1}, {Failed: 2}, {OK: 1, Failed: 1}, {OK: 1}, {Failed: 1}, {OK: 1}, {Failed: 2}}
				w.Cases = []window.Case{
					{Name: "forecast", Outcomes: []window.Count{{Name: "server_error", N: 13}}},
					{Name: "health", Outcomes: []window.Count{{Name: "ok", N: 4}}},
				}
			}},
		},
	}
}

// slowAfter fails from..to and is slow until later.
func slowAfter(from, to, later int, how second) func(int) second {
	return func(s int) second {
		switch {
		case s >= from && s < to:
			return how
		case s >= to && s < later:
			return second{ok: 50, okTook: 500 * time.Millisecond}
		}
		return steady(s)
	}
}

// twice takes the first that is not steady.
func twice(a, b func(int) second) func(int) second {
	return func(s int) second {
		if one := a(s); one != steady(s) {
			return one
		}
		return b(s)
	}
}

func dependencyCases() []scenarioCase {
	return []scenarioCase{
		{
			name:     "Redis away, nobody minds",
			scenario: scenario{seconds: 400, polls: healthy(map[string]func(int) string{"redis": fails(100, 150, "connect")})},
			wants: []want{{
				target: "redis", kind: finding.Outage, start: 101, detected: 110, end: 151, recovered: 151, mode: Unaffected,
				text: "redis was away from 03:01:41 for 50s (connect); the API was not affected; as before at once",
			}},
			symptoms: []string{"outage redis"},
		},
		{
			name:     "one poll alone",
			scenario: scenario{seconds: 300, polls: healthy(map[string]func(int) string{"redis": fails(105, 109, "timeout")})},
		},
		{
			name:     "one poll in two windows each",
			scenario: scenario{seconds: 300, polls: healthy(map[string]func(int) string{"redis": fails(105, 115, "reset")})},
			wants:    []want{{target: "redis", kind: finding.Outage, start: 106, detected: 120, end: 116, recovered: 116, mode: Unaffected}},
			symptoms: []string{"outage redis"},
		},
		{
			name: "Postgres away, most requests fail soon",
			scenario: scenario{
				seconds: 400, traffic: failing(103, 142, second{ok: 8, failed: 42, outcome: "server_error", took: 12 * time.Millisecond}),
				polls: healthy(map[string]func(int) string{"postgres": fails(103, 140, "connect")}),
			},
			wants: []want{{
				target: "postgres", kind: finding.Outage, start: 103, detected: 110, end: 141, recovered: 142, mode: FailFast,
				text: "(connect); the API failed fast: ",
			}},
			symptoms: []string{"outage postgres"},
		},
		{
			name: "Postgres away, everything fails: one symptom",
			scenario: scenario{
				seconds: 400, traffic: failing(103, 152, second{failed: 50, outcome: "server_error", took: 5 * time.Second}),
				polls: healthy(map[string]func(int) string{"postgres": fails(103, 150, "timeout"), "endpoint/health": fails(103, 150, "check")}),
			},
			wants: []want{
				{target: "api", kind: finding.Outage, start: 103, detected: 110, end: 152, recovered: 152, mode: Hangs, causedBy: "postgres"},
				{
					target: "postgres", kind: finding.Outage, start: 103, detected: 110, end: 151, recovered: 152, mode: Hangs,
					text: "the API let requests hang: 100 % of 2400 requests, mostly server_error, after 5s; as before 1s later",
				},
			},
			symptoms: []string{"outage postgres"},
			unknown:  "",
		},
		{
			name: "the API stays away when Postgres is back",
			scenario: scenario{
				seconds: 600, traffic: failing(103, 300, second{failed: 50, outcome: "server_error"}),
				polls: healthy(map[string]func(int) string{"postgres": fails(103, 130, "connect")}),
			},
			wants: []want{
				{target: "api", kind: finding.Outage, start: 103, detected: 110, end: 300, recovered: 300, mode: FailFast, causedBy: "postgres"},
				{target: "postgres", kind: finding.Outage, start: 103, detected: 110, end: 131, recovered: 300, mode: FailFast},
			},
			symptoms: []string{"outage postgres", "outage api"},
		},
		{
			name: "the API and, long before, Redis",
			scenario: scenario{
				seconds: 600, traffic: failing(203, 250, second{failed: 50}),
				polls: healthy(map[string]func(int) string{"redis": fails(103, 400, "connect")}),
			},
			wants: []want{
				{target: "redis", kind: finding.Outage, start: 101 + 5, detected: 120, end: 401, recovered: 401, mode: FailFast},
				{target: "api", kind: finding.Outage, start: 203, detected: 210, end: 250, recovered: 250, mode: FailFast},
			},
			symptoms: []string{"outage redis", "outage api"},
		},
		{
			name: "Postgres away for long, and of a trickle most fail",
			scenario: scenario{
				seconds: 1500, polls: healthy(map[string]func(int) string{"postgres": fails(100, 1300, "connect")}),
				traffic: func(s int) second {
					switch {
					case s < 100 || s >= 1300:
						return steady(s)
					case s < 130:
						return second{ok: 8, failed: 42}
					case s%2 > 0:
						return second{}
					case s%60 == 0:
						return second{ok: 1}
					}
					return second{failed: 1}
				},
			},
			wants:    []want{{target: "postgres", kind: finding.Outage, start: 100, detected: 110, end: 1301, recovered: 1301, mode: FailFast}},
			symptoms: []string{"outage postgres"},
		},
		{
			name: "Postgres away, later the API as well: it is Postgres' fault",
			scenario: scenario{
				seconds: 600, polls: healthy(map[string]func(int) string{"postgres": fails(100, 400, "connect")}),
				traffic: twice(failing(200, 400, second{failed: 50}), failing(100, 200, second{ok: 15, failed: 35, outcome: "server_error"})),
			},
			wants: []want{
				{target: "postgres", kind: finding.Outage, start: 100, detected: 110, end: 401, recovered: 401, mode: FailFast},
				{target: "api", kind: finding.Outage, start: 200, detected: 210, end: 400, recovered: 400, mode: FailFast, causedBy: "postgres"},
			},
			symptoms: []string{"outage postgres"},
		},
		{
			name: "an endpoint away with the API is told as the API",
			scenario: scenario{
				seconds: 400, traffic: failing(103, 152, second{failed: 50}),
				polls: healthy(map[string]func(int) string{"api": fails(103, 150, "connect"), "endpoint/health": fails(103, 150, "connect")}),
			},
			wants: []want{
				{target: "api", kind: finding.Outage, start: 103, detected: 110, end: 152, recovered: 152, mode: FailFast},
				{target: "endpoint/health", kind: finding.Outage, start: 103, detected: 110, end: 151, recovered: 152, mode: FailFast, causedBy: "api"},
			},
			symptoms: []string{"outage api"},
		},
		{
			name:     "an endpoint alone",
			scenario: scenario{seconds: 300, polls: healthy(map[string]func(int) string{"endpoint/health": fails(100, 150, "tls")})},
			wants:    []want{{target: "endpoint/health", kind: finding.Outage, start: 101, detected: 110, end: 151, recovered: 151, mode: Unaffected}},
			symptoms: []string{"outage endpoint/health"},
		},
		{
			name:     "the canary alone counts as Postgres",
			scenario: scenario{seconds: 300, polls: healthy(map[string]func(int) string{"postgres_canary": fails(100, 150, "unavailable")})},
			wants:    []want{{target: "postgres", kind: finding.Outage, start: 101, detected: 110, end: 151, recovered: 151, mode: Unaffected}},
			symptoms: []string{"outage postgres"},
		},
		{
			name:     "a wrong password is no outage",
			scenario: scenario{seconds: 300, polls: healthy(map[string]func(int) string{"postgres": fails(0, 400, "auth")})},
			unknown:  "postgres: its polls fail (auth)",
		},
		{
			name: "a query that waits for a lock is no outage",
			scenario: scenario{
				seconds: 300, traffic: failing(100, 200, second{ok: 10, failed: 40, outcome: "timeout", took: 10 * time.Second}),
				polls: healthy(map[string]func(int) string{"postgres": fails(100, 400, "timeout")}),
				shape: func(w *window.Window) {
					w.Signals = []window.Signal{{Name: "soakd_postgres_max_connections", N: 2, Last: 100}}
				},
			},
			unknown: "postgres: postgres answers in part (timeout)",
		},
		{
			name:     "the API gets slower without its cache",
			scenario: scenario{seconds: 400, traffic: slowAfter(100, 100, 200, second{}), polls: healthy(map[string]func(int) string{"redis": fails(100, 200, "connect")})},
			wants: []want{{
				target: "redis", kind: finding.Outage, start: 101, detected: 110, end: 201, recovered: 201, mode: Degraded,
				text: "the API got slower: p95 497ms, before 50ms",
			}},
			symptoms: []string{"outage redis"},
		},
	}
}

func lifeCases() []scenarioCase {
	refused := second{failed: fiftyASecond}
	cases := []scenarioCase{
		{
			name: "the circuit opens: a trickle tells",
			scenario: scenario{
				seconds: 900, polls: healthy(nil),
				traffic: func(s int) second {
					switch {
					case s < 100 || s >= 430:
						return steady(s)
					case s < 140:
						return refused
					case s%2 > 0:
						return second{}
					case s < 400:
						return second{failed: 1}
					}
					return second{ok: 1}
				},
				unfit: func(s int) []string {
					if s >= 130 && s < 430 {
						return []string{"throttled"}
					}
					return nil
				},
			},
			wants:    []want{{target: "api", kind: finding.Outage, start: 100, detected: 110, end: 400, recovered: 400, mode: FailFast}},
			symptoms: []string{"outage api"},
		},
		{
			name: "the load is paused while the API is away",
			scenario: scenario{
				seconds: 600, polls: healthy(map[string]func(int) string{"api": fails(100, 250, "connect")}),
				traffic: func(s int) second {
					if s >= 130 && s < 400 {
						return second{}
					}
					return failing(100, 130, refused)(s)
				},
				unfit: func(s int) []string {
					if s >= 130 && s < 400 {
						return []string{"paused"}
					}
					return nil
				},
			},
			wants:    []want{{target: "api", kind: finding.Outage, start: 100, detected: 110, end: 251, recovered: 251, mode: FailFast}},
			symptoms: []string{"outage api"},
		},
		{
			name: "the API goes away while the load is paused",
			scenario: scenario{
				seconds: 600, polls: healthy(map[string]func(int) string{"api": fails(200, 250, "connect")}),
				traffic: failing(100, 400, second{}),
			},
			wants:    []want{{target: "api", kind: finding.Outage, start: 201, detected: 220, end: 251, recovered: 251, mode: "", text: "there were no requests meanwhile"}},
			symptoms: []string{"outage api"},
		},
		{
			name: "soakd was away before the end",
			scenario: scenario{
				seconds: 600, polls: healthy(map[string]func(int) string{"postgres": fails(100, 200, "connect")}),
				traffic: failing(100, 200, second{ok: 10, failed: 40, outcome: "server_error"}),
				missing: func(s int) bool { return s >= 150 && s < 300 },
			},
			wants: []want{{
				target: "postgres", kind: finding.Outage, start: 100, detected: 110, end: 301, recovered: 301, mode: FailFast, approximate: true,
				text: "for at most 3m21s",
			}},
			symptoms: []string{"outage postgres"},
		},
		{
			name:     "still away at the end",
			scenario: scenario{seconds: 200, polls: healthy(nil), traffic: failing(100, 300, refused)},
			wants:    []want{{target: "api", kind: finding.Outage, start: 100, detected: 110, end: -1, recovered: -1, mode: FailFast, text: "api is away since 03:01:40; it failed fast"}},
			symptoms: []string{"outage api"},
		},
		{
			name:     "never as before again",
			scenario: scenario{seconds: 3000, polls: healthy(nil), traffic: slowAfter(100, 130, 3000, refused)},
			wants: []want{{
				target: "api", kind: finding.Outage, start: 100, detected: 110, end: 130, recovered: -1, mode: FailFast,
				text: "; the service did not come back to what it was",
			}},
			symptoms: []string{"outage api"},
		},
		{
			name:     "away from the start",
			scenario: scenario{seconds: 200, polls: healthy(nil), traffic: failing(0, 50, refused)},
			wants:    []want{{target: "api", kind: finding.Outage, start: 0, detected: 10, end: 50, recovered: 50, mode: FailFast}},
			symptoms: []string{"outage api"},
		},
	}
	for _, reason := range []string{"stalled", "cpu", "ports", "files", "memory"} {
		cases = append(cases, scenarioCase{
			name: "soakd's own trouble: " + reason,
			scenario: scenario{
				seconds: 300, traffic: failing(100, 150, refused),
				polls: healthy(map[string]func(int) string{"postgres": fails(100, 150, "timeout"), "redis": fails(100, 150, "connect")}),
				unfit: func(s int) []string {
					if s >= 100 && s < 150 {
						return []string{reason}
					}
					return nil
				},
			},
		})
	}
	return append(cases, scenarioCase{
		name: "an answer is one, whatever soakd's trouble",
		scenario: scenario{
			seconds: 300, polls: healthy(nil), traffic: failing(100, 150, second{failed: 50, outcome: "server_error"}),
			unfit: func(s int) []string { return []string{"cpu"} },
		},
		wants:    []want{{target: "api", kind: finding.Outage, start: 100, detected: 110, end: 150, recovered: -1, mode: FailFast}},
		symptoms: []string{"outage api"},
	})
}

func TestScenarios(t *testing.T) {
	for _, c := range slices.Concat(apiCases(), dependencyCases(), lifeCases()) {
		t.Run(c.name, func(t *testing.T) {
			d, symptoms := c.run()
			compareRecords(t, d, c.wants)
			compareSymptoms(t, symptoms, c.symptoms, c.missing != nil)
			if got := strings.Join(d.Unknown(), "\n"); c.unknown != "" && !strings.HasPrefix(got, c.unknown) {
				t.Errorf("unknown %q, want %q", got, c.unknown)
			}
		})
	}
}

func compareRecords(t *testing.T, d *Detector, wants []want) {
	t.Helper()
	records := d.Outages()
	if len(records) != len(wants) {
		t.Errorf("%d outages, want %d", len(records), len(wants))
	}
	for i, r := range records {
		if i >= len(wants) {
			t.Errorf("also %s", r.Text)
			continue
		}
		w := wants[i]
		got := want{r.Target, r.Kind, second0(r.Start), second0(r.Detected), second0(r.End), second0(r.Recovered), r.Mode, r.CausedBy, r.Restart, r.EndApproximate, w.text}
		if got != w {
			t.Errorf("got  %+v\nwant %+v\n%s", got, w, r.Text)
		}
		if !strings.Contains(r.Text, w.text) {
			t.Errorf("the text %q lacks %q", r.Text, w.text)
		}
	}
}

// compareSymptoms checks what was told, and that each symptom begins once, keeps
// its onset and is over once, at its end.
func compareSymptoms(t *testing.T, all []told, wants []string, gaps bool) {
	t.Helper()
	var names []string
	last := map[string]told{}
	for _, one := range all {
		s := one.symptom
		name := fmt.Sprintf("%s %s", s.Kind, s.Subject.Target)
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		before, known := last[name]
		if known && !before.symptom.Over {
			if !before.symptom.Onset.Equal(s.Onset) {
				t.Errorf("the onset of %s moved from %v to %v", name, before.symptom.Onset, s.Onset)
			}
			if one.at.Sub(before.at) != window.Short && !gaps {
				t.Errorf("%s was not told between %v and %v", name, before.at, one.at)
			}
		}
		last[name] = one
	}
	if !slices.Equal(names, wants) {
		t.Errorf("told %v, want %v", names, wants)
		for _, one := range all {
			t.Logf("%v over=%v %s", one.at, one.symptom.Over, one.symptom.Text)
		}
	}
}

// One outage from the first symptom to the record, figure by figure.
func TestFigures(t *testing.T) {
	c := scenario{
		seconds: 400, polls: healthy(map[string]func(int) string{"redis": fails(103, 150, "timeout")}),
		traffic: failing(106, 152, second{ok: 20, failed: 30, outcome: "server_error", took: 20 * time.Millisecond}),
	}
	d, symptoms := c.run()
	first, last := symptoms[0], symptoms[len(symptoms)-1]
	s := first.symptom
	if !first.at.Equal(at(110)) || s.Over || s.Kind != finding.Outage || s.Subject != (finding.Subject{Target: "redis"}) || s.Confidence != 1 ||
		!s.Onset.Equal(at(106)) || !s.OnsetFrom.Equal(at(101)) || !s.OnsetTo.Equal(at(106)) || s.Before != 0 || s.Against != "earlier in this run" {
		t.Errorf("first %v: %+v", first.at, s)
	}
	if s := last.symptom; !last.at.Equal(at(190)) || !s.Over || !s.Ended.Equal(at(151)) || s.Requests != 45*50 || s.After != 0.6 || s.Windows != 5 {
		t.Errorf("last %v: %+v", last.at, s)
	}
	for _, one := range symptoms[:len(symptoms)-1] {
		if one.symptom.Over {
			t.Errorf("over at %v", one.at)
		}
	}
	r := d.Outages()[0]
	if !r.Closed || r.TimeToDetect != 4 || r.TimeToRecover != 46 || r.Failed != 1350 || r.OK != 900 || r.Outcomes["server_error"] != 46*30 || r.Mode != FailFast || r.Reason != "timeout" {
		t.Errorf("%+v", r)
	}
	if got := d.Totals(); got["redis"] != 1 || got[API] != 0 || got["postgres"] != 0 || len(got) != 3 {
		t.Errorf("totals %v", got)
	}
	if got := d.InProgress(); len(got) != 3 || got["redis"] {
		t.Errorf("in progress %v", got)
	}
	// The record that was handed out is nobody else's.
	r.Outcomes["server_error"] = 0
	if d.Outages()[0].Outcomes["server_error"] == 0 {
		t.Error("the records are shared")
	}
}

func TestInProgress(t *testing.T) {
	c := scenario{seconds: 300, polls: healthy(map[string]func(int) string{"redis": fails(103, 150, "timeout")}), traffic: failing(200, 400, second{failed: 50})}
	d, err := New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range c.windows() {
		d.Observe(w)
		got := d.InProgress()
		end := second0(w.End())
		if want := end >= 120 && end <= 150; got["redis"] != want { // polls fail at 106 and 111
			t.Errorf("at %d redis is away: %v", end, got["redis"])
		}
		if want := end >= 210; got[API] != want {
			t.Errorf("at %d the API is away: %v", end, got[API])
		}
	}
}

// What looks like an outage at a low rate is dropped when requests go on to fail in part.
func TestAPartIsNoOutage(t *testing.T) {
	c := scenario{seconds: 600, polls: healthy(nil), traffic: func(s int) second {
		if s >= 100 && (s < 106 || s%2 == 0) {
			return second{failed: 1}
		}
		return second{ok: 1}
	}}
	d, symptoms := c.run()
	if len(symptoms) > 0 || len(d.Outages()) > 0 || d.Totals()[API] != 0 {
		t.Errorf("%+v, %v", d.Outages(), d.Totals())
	}
}

// The start time of a process tells of a restart as well; that several workers
// answer in turn does not.
func TestRestartByStartTime(t *testing.T) {
	for name, c := range map[string]struct {
		start func(from int) float64
		want  bool
	}{
		"another process": {func(from int) float64 { return map[bool]float64{true: 500, false: 100}[from >= 110] }, true},
		"two in turn":     {func(from int) float64 { return map[bool]float64{true: 500, false: 100}[from%20 == 0] }, false},
		"the same":        {func(int) float64 { return 100 }, false},
	} {
		s := scenario{seconds: 300, traffic: failing(103, 108, second{failed: 50}), polls: healthy(nil), shape: func(w *window.Window) {
			start := c.start(second0(w.Start))
			w.Signals = []window.Signal{{Name: "soakd_api_start_time_seconds", Labels: `replica="main"`, N: 2, Min: start, Max: start, Last: start}}
		}}
		d, symptoms := s.run()
		if got := d.Outages(); len(got) != 1 || got[0].Restart != c.want || (len(symptoms) == 0) != c.want {
			t.Errorf("%s: %+v, %d symptoms", name, got, len(symptoms))
		}
	}
}

// Which server still answers is told by the label, where there are several.
func TestOneOfSeveralServers(t *testing.T) {
	for server, want := range map[string]string{"main": "postgres/replica", "replica": "postgres"} {
		d, err := New(DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		c := scenario{seconds: 200, shape: func(w *window.Window) {
			for _, name := range []string{"postgres", "postgres/replica"} {
				w.Probes = append(w.Probes, pollsOf(name, second0(w.Start), fails(100, 200, "connect")))
			}
			if !w.Start.Before(at(100)) {
				w.Signals = []window.Signal{{Name: "soakd_postgres_max_connections", Labels: fmt.Sprintf("server=%q", server), N: 2}}
			}
		}}
		show(d, c.windows())
		if got := d.Outages(); len(got) != 1 || got[0].Target != want {
			t.Errorf("%s answers: %+v", server, got)
		}
		if got := d.Unknown(); len(got) != 1 || !strings.Contains(got[0], "answers in part (connect)") {
			t.Errorf("%s answers: %q", server, got)
		}
	}
}

func TestOtherLevelsArePassedOver(t *testing.T) {
	c := scenario{seconds: 100, traffic: failing(0, 100, second{failed: 50})}
	d, err := New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range c.windows() {
		w.Length = window.Minute
		if got := d.Observe(w); got != nil {
			t.Errorf("%+v", got)
		}
	}
}

// A window out of order, as after a clock that was set back, ends no outage.
func TestAWindowOutOfOrderChangesNothing(t *testing.T) {
	c := &scenario{seconds: 60, polls: map[string]func(int) string{"redis": fails(12, 300, "connect")}}
	windows := c.windows()
	d, err := New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	show(d, windows[:5])
	again := d.Observe(windows[1])
	if len(again) != 1 || again[0].Over || again[0].Subject.Target != "redis" {
		t.Errorf("after a window of before: %+v", again)
	}
	next := d.Observe(windows[5])
	if len(next) != 1 || next[0].Over || !next[0].Onset.Equal(again[0].Onset) || len(d.Outages()) != 1 {
		t.Errorf("afterwards: %+v", next)
	}
}
