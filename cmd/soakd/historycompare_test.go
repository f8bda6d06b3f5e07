package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHistoryCompare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.db")
	slow := storedRun(t, path, historyAt.Add(48*time.Hour), "v3", 30*time.Millisecond)
	storedRun(t, path, historyAt.Add(24*time.Hour), "v2", 20*time.Millisecond)
	storedRun(t, path, historyAt, "v1", 20*time.Millisecond)
	for _, one := range []struct {
		a, b, want string
		code       int
	}{
		{"version=v1", "version=v2", "same", exitOK},
		{"version=v1", "last", "worse", exitFailed},
		{slow, "version=v1", "improved", exitOK},
	} {
		text, err := historyOf(t, path, "compare", one.a, one.b)
		if exitCode(err) != one.code || !strings.Contains(text, "\n"+one.want+"\n") {
			t.Errorf("%s and %s: %v\n%s\nwant %s", one.a, one.b, err, text, one.want)
		}
		has(t, text, "median_response_time", "list", "B/A (95 %)", "version v1, 57 windows")
	}
	text, err := historyOf(t, path, "compare", "--json", "version=v1", "last")
	var compared comparedRuns
	if exitCode(err) != exitFailed || json.Unmarshal([]byte(text), &compared) != nil || compared.Result != "worse" || compared.After != "run "+slow || compared.BaseVersion != "v1" {
		t.Errorf("%v\n%s", err, text)
	}
}

// A baseline is compared with long after the windows of its run have gone.
func TestHistoryBaselines(t *testing.T) {
	folder := t.TempDir()
	path, file := filepath.Join(folder, "h.db"), filepath.Join(folder, "x.jsonl")
	first := storedRun(t, path, historyAt, "v1", 20*time.Millisecond)
	text, err := historyOf(t, path, "baseline", "set", "release-1", "version=v1")
	if err != nil {
		t.Fatal(err)
	}
	has(t, text, "baseline release-1 of http://api.example: run "+first+": version v1, 57 windows")
	text, err = historyOf(t, path, "baseline", "list")
	if err != nil {
		t.Fatal(err)
	}
	has(t, text, "release-1", "v1", first[:shortID], "for good", "http://api.example")

	// Elsewhere, with the baseline alone.
	if _, err := historyOf(t, path, "export", file); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(folder, "other.db")
	if _, err := historyOf(t, other, "import", file); err != nil {
		t.Fatal(err)
	}
	storedRun(t, other, historyAt.Add(24*time.Hour), "v2", 30*time.Millisecond)
	text, err = historyOf(t, other, "compare", "baseline=release-1", "last")
	if exitCode(err) != exitFailed {
		t.Error(err)
	}
	has(t, text, "A  baseline release-1: version v1, 57 windows", "\nworse\n")

	for _, one := range [][2]string{{"a b", "must be 1 to 64"}, {strings.Repeat("x", 65), "must be 1 to 64"}} {
		if _, err := historyOf(t, path, "baseline", "set", one[0], "last"); err == nil || !strings.Contains(err.Error(), one[1]) || exitCode(err) != exitUsage {
			t.Errorf("%v, want %q", err, one[1])
		}
	}
	if text, err = historyOf(t, other, "baseline", "remove", "release-1"); err != nil || text != "removed the baseline release-1 of http://api.example\n" {
		t.Errorf("%q, %v", text, err)
	}
	if text, err = historyOf(t, other, "baseline", "list", "--json"); err != nil || text != "[]\n" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := historyOf(t, other, "compare", "baseline=release-1", "last"); err == nil || exitCode(err) != exitUsage {
		t.Error(err)
	}
}
