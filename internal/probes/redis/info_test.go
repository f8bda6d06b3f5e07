package redis

import (
	"strings"
	"testing"
	"time"
)

func TestParseInfo(t *testing.T) {
	got, err := parseInfo("# Server\r\nredis_version:7.0.15\r\n\r\n# Other\r\nconfig_file:/etc/a:b\r\nempty:\r\nused_memory:12\n")
	if err != nil {
		t.Fatal(err)
	}
	want := info{"redis_version": "7.0.15", "config_file": "/etc/a:b", "empty": "", "used_memory": "12"}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	if _, ok, err := got.number("missing"); ok || err != nil {
		t.Error("a missing field must be no value and no error")
	}
	if value, ok, err := got.number("used_memory"); value != 12 || !ok || err != nil {
		t.Errorf("used_memory: %v %v %v", value, ok, err)
	}
	if _, ok, err := got.number("redis_version"); ok || err == nil || !strings.Contains(err.Error(), `INFO: redis_version: "7.0.15" is not a number`) {
		t.Errorf("malformed number: %v", err)
	}
}

func TestParseInfoNamesWhatIsWrongAndKeepsTheRest(t *testing.T) {
	got, err := parseInfo("a:1\nnonsense\na:2\n:4\nd:5\n")
	if got["a"] != "1" || got["d"] != "5" || len(got) != 2 {
		t.Errorf("kept %v", got)
	}
	for _, part := range []string{`line 2: "nonsense" is not name:value`, "line 3: a is there twice", `line 4: ":4"`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v lacks %q", err, part)
		}
	}
	if _, err := parseInfo(strings.Repeat("x\n", 1000)); strings.Count(err.Error(), "\n") > maxInfoErrors {
		t.Error("an error for each line")
	}
	if _, err := parseInfo(""); err == nil {
		t.Error("an empty answer was taken")
	}
	if _, err := parseInfo("a:" + strings.Repeat("x", maxInfo)); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("an answer over the limit: %v", err)
	}
}

func TestParseNumber(t *testing.T) {
	for text, want := range map[string]float64{"0": 0, "-12": -12, "1.25": 1.25, "18446744073709551615": 18446744073709551615} {
		if got, err := parseNumber(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "nan", "inf", "-Inf", "0x10", "1_000", "1e5", "12K", " 1", "1.2.3", "--1"} {
		if got, err := parseNumber(text); err == nil {
			t.Errorf("%q was taken as %v", text, got)
		}
	}
}

func TestParseKeyspace(t *testing.T) {
	for text, want := range map[string]keyspace{
		"keys=12,expires=3,avg_ttl=1500,subexpiry=0":                   {12, 3, 1.5}, // Redis 8
		"keys=12,expires=0,avg_ttl=0":                                  {12, 0, 0},
		"keys=1,expires=1,avg_ttl=-1":                                  {1, 1, 0}, // Dragonfly
		"keys=526496,expires=0,avg_ttl=0,cached_keys=526496":           {526496, 0, 0},
		"keys=2,expires=0,avg_ttl=0,keys_with_volatile_items=0,new=on": {2, 0, 0},
	} {
		if got, err := parseKeyspace(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "keys=1", "keys=x,expires=1", "keys=1,expires", "=1", "keys=1,keys=2,expires=1", "keys=-1,expires=0", "keys=NaN,expires=0", "keys=1,expires=0,avg_ttl=long"} {
		if got, err := parseKeyspace(text); err == nil {
			t.Errorf("%q was taken as %v", text, got)
		}
	}
}

func TestHitWindow(t *testing.T) {
	start := time.Unix(1000, 0)
	type step struct {
		at           int // seconds
		hits, misses float64
		want         float64 // -1: none
	}
	for name, steps := range map[string][]step{
		"first poll, then the change only": {{0, 1000, 0, -1}, {5, 1003, 1, 0.75}},
		"nothing was looked up":            {{0, 10, 10, -1}, {5, 10, 10, -1}, {10, 11, 10, 1}},
		"the whole window, not more":       {{0, 0, 0, -1}, {30, 30, 0, 1}, {60, 30, 30, 0.5}, {90, 30, 60, 0}},
		"the counters fall":                {{0, 10, 10, -1}, {5, 15, 10, 1}, {10, 1, 1, -1}, {15, 1, 2, 0}},
		"only the misses fell":             {{0, 10, 10, -1}, {5, 15, 2, -1}},
		"a gap longer than the window":     {{0, 0, 0, -1}, {3600, 80, 20, 0.8}, {3605, 80, 40, 0}, {3660, 100, 40, 0.5}, {3665, 100, 40, 1}},
		"polls rarer than the window":      {{0, 0, 0, -1}, {300, 1, 0, 1}, {600, 1, 1, 0}},
	} {
		w := hitWindow{window[lookups]{length: time.Minute}}
		for i, s := range steps {
			got, ok := w.add(start.Add(time.Duration(s.at)*time.Second), lookups{s.hits, s.misses})
			if ok != (s.want >= 0) || ok && got != s.want {
				t.Errorf("%s, step %d: %v %v, want %v", name, i, got, ok, s.want)
			}
		}
	}
}

// Polls that come much faster than the window is long are thinned out, but the
// ratio is still that of the window.
func TestHitWindowIsBounded(t *testing.T) {
	w := hitWindow{window[lookups]{length: time.Hour}}
	for i := range 20_000 { // a hit a second, but misses in the last hour
		now := lookups{hits: float64(i), misses: max(0, float64(i-16_400))}
		ratio, _ := w.add(time.Unix(int64(i), 0), now)
		if len(w.points) > maxPoints+2 || cap(w.points) > 4*maxPoints {
			t.Fatalf("%d points, room for %d", len(w.points), cap(w.points))
		}
		if i == 19_999 && (ratio < 0.499 || ratio > 0.506) { // the window is covered whole, within a hundredth
			t.Errorf("ratio %v, want 0.5", ratio)
		}
	}
}
