package redis

import (
	"math"
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
	got, err := parseInfo("a:1\nnonsense\na:2\nb c:3\n:4\nd:5\n")
	if got["a"] != "1" || got["d"] != "5" || len(got) != 2 {
		t.Errorf("kept %v", got)
	}
	for _, part := range []string{`line 2: "nonsense" is not name:value`, "line 3: a is there twice", `line 4: "b c:3"`, `line 5: ":4"`} {
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
	got, err := parseKeyspace("keys=12,expires=3,avg_ttl=0,subexpiry=0")
	if err != nil || got != (keyspace{12, 3}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", "keys=1", "keys=x,expires=1", "keys=1,expires", "=1"} {
		if _, err := parseKeyspace(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func FuzzInfo(f *testing.F) {
	f.Add("# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\nkeyspace_hits:1\r\nkeyspace_misses:2\r\ndb0:keys=1,expires=0,avg_ttl=0\r\nerrorstat_ERR:count=1\r\nused_memory:-1\r\nmaxmemory:0\r\n")
	f.Add("a:1\nnonsense\n:\n#\n")
	f.Add("db0:keys=1,expires=1\ndb00:keys=1,expires=1\nerrorstat_x:count=1\nerrorstat_X:count=1\n")
	f.Fuzz(func(t *testing.T, text string) {
		fields, err := parseInfo(text)
		if err != nil && len(err.Error()) > 4096 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
		for name := range fields {
			if !strings.Contains(text, name+":") {
				t.Errorf("%q is not in the text", name)
			}
			if value, ok, err := fields.number(name); ok && (err != nil || math.IsNaN(value) || math.IsInf(value, 0)) {
				t.Errorf("%s: %v, %v", name, value, err)
			}
		}
		checkReading(t, fields)
	})
}

func TestHitWindow(t *testing.T) {
	start := time.Unix(1000, 0)
	type step struct {
		run          string
		at           int // seconds
		hits, misses float64
		want         float64 // -1: none
	}
	for name, steps := range map[string][]step{
		"first poll, then the change only": {{"a", 0, 1000, 0, -1}, {"a", 5, 1003, 1, 0.75}},
		"nothing was looked up":            {{"a", 0, 10, 10, -1}, {"a", 5, 10, 10, -1}, {"a", 10, 11, 10, 1}},
		"the whole window, not more":       {{"a", 0, 0, 0, -1}, {"a", 30, 30, 0, 1}, {"a", 60, 30, 30, 0.5}, {"a", 90, 30, 60, 0}},
		"restart: new run id":              {{"a", 0, 10, 10, -1}, {"b", 5, 20, 10, -1}, {"b", 10, 21, 11, 0.5}},
		"reset: the counters fall":         {{"a", 0, 10, 10, -1}, {"a", 5, 15, 10, 1}, {"a", 10, 1, 1, -1}, {"a", 15, 1, 2, 0}},
		"only the misses fell":             {{"a", 0, 10, 10, -1}, {"a", 5, 15, 2, -1}},
		"a gap longer than the window":     {{"a", 0, 0, 0, -1}, {"a", 3600, 80, 20, 0.8}, {"a", 3605, 80, 40, 80.0 / 120}},
		"polls rarer than the window":      {{"a", 0, 0, 0, -1}, {"a", 300, 1, 0, 1}, {"a", 600, 1, 1, 0}},
	} {
		w := hitWindow{window: time.Minute}
		for i, s := range steps {
			got, ok := w.add(s.run, hitPoint{start.Add(time.Duration(s.at) * time.Second), s.hits, s.misses})
			if ok != (s.want >= 0) || ok && got != s.want {
				t.Errorf("%s, step %d: %v %v, want %v", name, i, got, ok, s.want)
			}
		}
	}
}

func TestHitWindowIsBounded(t *testing.T) {
	w := hitWindow{window: time.Hour}
	for i := range 3 * maxPoints {
		w.add("a", hitPoint{at: time.Unix(int64(i), 0), hits: float64(i)})
	}
	if len(w.points) > maxPoints || cap(w.points) > 4*maxPoints {
		t.Errorf("%d points, room for %d", len(w.points), cap(w.points))
	}
}
