package redis

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// addRecorded adds the recorded answers, and their lines with that prefix, or
// the whole of them where there is none.
func addRecorded(f *testing.F, prefix string) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no recorded answers: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if prefix == "" {
			f.Add(string(text))
			continue
		}
		for line := range strings.Lines(string(text)) {
			if _, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && strings.HasPrefix(line, prefix) {
				f.Add(value)
			}
		}
	}
}

func FuzzInfo(f *testing.F) {
	addRecorded(f, "")
	f.Add("# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\nkeyspace_hits:1\r\nkeyspace_misses:2\r\ndb0:keys=1,expires=0,avg_ttl=0\r\nerrorstat_ERR:count=1\r\nused_memory:-1\r\nmaxmemory:0\r\n")
	f.Add("a:1\nnonsense\n:\n#\n")
	f.Add("db0:keys=1,expires=1\ndb00:keys=1,expires=1\nerrorstat_x:count=1\nerrorstat_X:count=1\ncmdstat_GET:calls=1,usec=1\ncmdstat_get:calls=1,usec=1\nslave0:state=online\n")
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

// finite fails the test for what no counter can be.
func finite(t *testing.T, text string, values ...float64) {
	t.Helper()
	for _, value := range values {
		if math.IsNaN(value) || math.IsInf(value, 0) || value < 0 {
			t.Errorf("%q gave %v", text, values)
		}
	}
}

func FuzzCommandStat(f *testing.F) {
	addRecorded(f, "cmdstat_")
	f.Add("calls=1,usec=1,usec_per_call=1.00,calls=2")
	f.Fuzz(func(t *testing.T, text string) {
		stat, err := parseCommandStat(text)
		if err == nil {
			finite(t, text, stat.calls, stat.seconds, stat.rejected, stat.failed)
		}
	})
}

func FuzzErrorCount(f *testing.F) {
	addRecorded(f, "errorstat_")
	f.Fuzz(func(t *testing.T, text string) {
		if count, err := parseErrorCount(text); err == nil {
			finite(t, text, count)
		}
	})
}

func FuzzKeyspace(f *testing.F) {
	addRecorded(f, "db")
	f.Fuzz(func(t *testing.T, text string) {
		if space, err := parseKeyspace(text); err == nil {
			finite(t, text, space.keys, space.expires, space.ttl)
		}
	})
}

func FuzzReplica(f *testing.F) {
	addRecorded(f, "slave0")
	f.Fuzz(func(t *testing.T, text string) {
		if one, err := parseReplica(text); err == nil {
			finite(t, text, one.offset, one.lag)
		}
	})
}
