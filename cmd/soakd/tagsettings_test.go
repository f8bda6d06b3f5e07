package main

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// `soakd check` tells what a selection would send, and what is wrong with one.
func TestCheckTellsWhatTagsSelect(t *testing.T) {
	var mu sync.Mutex
	var paths []string
	target := serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"status":"ok"}`))
	}))
	for name, test := range map[string]struct {
		settings map[string]string
		args     []string
		code     int
		want     []string // in what is printed, or in the error
	}{
		"a case": {args: []string{"--tags", "health"}, want: []string{
			"would send cashflow[health] to", "health  health  100 %", "by their tags: forecast,", "no selected case needs it", "case health: ok", "all reached",
		}},
		"by the environment": {settings: map[string]string{"SOAKD_TAGS": "read, compute", "SOAKD_EXCLUDE_TAGS": "read,complex_analysis"}, want: []string{
			"would send cashflow[compute,read,-complex_analysis,-read] to", "forecast_monte_carlo  monte_carlo  15.4 %", "3 cases that write were not tried",
		}},
		"both":                 {args: []string{"--tags", "health,forecast", "--exclude-tags", "compute,write"}, want: []string{"cashflow[forecast,health,-compute,-write]"}},
		"a tag of no case":     {args: []string{"--tags", "raed"}, code: exitUsage, want: []string{"SOAKD_TAGS", `"raed", did you mean read?`}},
		"what cannot be had":   {args: []string{"--tags", "invalid_token_expired"}, code: exitUsage, want: []string{"JWT secret"}},
		"nothing left":         {args: []string{"--tags", "read", "--exclude-tags", "read"}, code: exitUsage, want: []string{"leaves no case to send"}},
		"only what is limited": {args: []string{"--tags", "complex"}, code: exitUsage, want: []string{"complex_analysis (once in 1m0s)"}},
	} {
		t.Run(name, func(t *testing.T) {
			settings := map[string]string{"SOAKD_TARGET_URL": target}
			for key, value := range test.settings {
				settings[key] = value
			}
			code, stdout, message := runCheck(t, settings, test.args...)
			if code != test.code {
				t.Errorf("exit code %d, want %d: %s\n%s", code, test.code, message, stdout)
			}
			for _, want := range test.want {
				if !strings.Contains(strings.Join(strings.Fields(stdout+message), " "), strings.Join(strings.Fields(want), " ")) {
					t.Errorf("it does not say %q:\n%s%s", want, stdout, message)
				}
			}
		})
	}
	mu.Lock()
	defer mu.Unlock()
	if slices.ContainsFunc(paths, func(path string) bool { return path != "/health" }) {
		t.Errorf("only the case health may have been tried: %q", paths)
	}
}

// A target that cannot be reached is told even if no case may be tried.
func TestCheckReachesTheTargetWithoutACase(t *testing.T) {
	code, stdout, message := runCheck(t, map[string]string{"SOAKD_TARGET_URL": "http://127.0.0.1:1"}, "--tags", "save_scenario")
	if code != exitNotRun || !strings.Contains(stdout, "connection: ") || strings.Contains(stdout, "all reached") {
		t.Errorf("exit code %d, %s:\n%s", code, message, stdout)
	}
}
