package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"testing"

	"soakd/internal/localservices"
)

// What the user chose to watch stays; what was not chosen fits the demo.
func TestDemoKeepsWhatTheUserSet(t *testing.T) {
	t.Setenv("SOAKD_POSTGRES_TABLES", "mine")
	cfg, err := readConfig(command{name: "demo", adjust: func(c *config) error { return adjustDemo(c, demoOptions{"auto", "auto"}) }},
		[]string{"--postgres-statements", "mine=SELECT mine"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := configureDemo(cfg, map[string]string{"SOAKD_TARGET_URL": "http://127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	if err := cfg.validate(); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"SOAKD_TARGET_URL": "http://127.0.0.1:1", "SOAKD_POSTGRES_TABLES": "[mine]",
		"SOAKD_POSTGRES_STATEMENTS": "mine=SELECT mine", "SOAKD_POSTGRES_APPLICATIONS": "[" + applicationName + "]",
	}
	for _, s := range cfg.settings() {
		if got := fmt.Sprint(s.value); want[s.Name] != "" && got != want[s.Name] {
			t.Errorf("%s is %s, want %s", s.Name, got, want[s.Name])
		}
		delete(want, s.Name)
	}
	if len(want) > 0 {
		t.Errorf("there are no settings %v", want)
	}
}

// Settings that tell how other servers than the demo's are reached would be heeded
// beside its own: they are refused before anything starts.
func TestDemoRefusesSettingsOfOtherServers(t *testing.T) {
	for name, value := range map[string]string{
		"SOAKD_POSTGRES_SERVERS": "other=postgres://db.example/x", "SOAKD_REDIS_MODE": "cluster", "SOAKD_REDIS_ADDRESS_MAP": "a:1=b:1", "SOAKD_REDIS_TLS_SERVER_NAME": "x",
		"SOAKD_API_METRICS_DNS": "a", "SOAKD_API_METRICS_TOKEN": "x",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			_, err := readConfig(command{name: "demo", adjust: func(c *config) error { return adjustDemo(c, demoOptions{"auto", "auto"}) }}, nil, io.Discard)
			if err == nil || !strings.Contains(err.Error(), name+": the demo brings this itself") {
				t.Errorf("got %v", err)
			}
		})
	}
	known := map[string]bool{}
	for _, s := range newConfig().settings() {
		known[s.Name] = true
	}
	for _, name := range broughtByDemo {
		if !known[name] {
			t.Errorf("%s is no setting", name)
		}
	}
}

// A list of hosts that leaves the demo out is told of before anything starts.
func TestDemoIsAmongTheAllowedHosts(t *testing.T) {
	for hosts, fits := range map[string]bool{"staging.example": false, "10.0.0.0/8,localhost": false, "127.0.0.0/8": true, "staging.example,127.0.0.1": true, "": true} {
		t.Run(hosts, func(t *testing.T) {
			t.Setenv("SOAKD_ALLOWED_HOSTS", hosts)
			_, err := readConfig(command{name: "demo", adjust: func(c *config) error { return adjustDemo(c, demoOptions{"auto", "auto"}) }}, nil, io.Discard)
			if (err == nil) != fits || err != nil && !strings.Contains(err.Error(), "SOAKD_ALLOWED_HOSTS: leaves out 127.0.0.1, where the demo runs; add it, or unset this") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What a start that was told to stop has left behind is said, and nothing else.
func TestInterruptedStartTellsWhatIsLeft(t *testing.T) {
	start := errors.New("wait for the server to answer: context canceled")
	if err := interrupted(start); err.Error() != errStopped.Error() {
		t.Errorf("got %v", err)
	}
	err := interrupted(errors.Join(start, &localservices.NotRemovedError{Err: &fs.PathError{Op: "unlinkat", Path: "/tmp/x", Err: fs.ErrPermission}}))
	if want := errStopped.Error() + "\nremove temporary files: unlinkat /tmp/x: permission denied"; err.Error() != want || exitCode(err) != exitNotRun {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLinesOfTheAPIArePassedOn(t *testing.T) {
	long := strings.Repeat("x", 2*maxPassedOn)
	for line, want := range map[string]string{
		`{"time":"2026-01-02T03:04:05Z","level":"WARN","msg":"dependency is down","error":"refused","dependency":"redis"}`://
		`level=WARN msg="dependency is down" dependency=redis error=refused`,
		`{"level":"INFO","msg":"serving","n":3,"in":{"a":true}}`: `level=INFO msg=serving in=map[a:true] n=3`,
		`{"level":"DEBUG","msg":"old rows deleted"}`:             ``, // below the level of this log
		`panic: a "crash"`:                                   `level=WARN msg="output of the process" line="panic: a \"crash\""`,
		`{"level":"LOUD","msg":"x"}`:                         `level=WARN msg="output of the process" line="{\"level\":\"LOUD\",\"msg\":\"x\"}"`,
		`["not", "a", "record"]`:                             `level=WARN msg="output of the process" line="[\"not\", \"a\", \"record\"]"`,
		`{"level":"ERROR","msg":"m","stack":"` + long + `"}`: `level=ERROR msg=m stack=` + long[:maxPassedOn] + `...`,
	} {
		var log bytes.Buffer
		drop := func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
		passOn(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: drop})))(line)
		if got := strings.TrimSuffix(log.String(), "\n"); got != want {
			t.Errorf("%s\ngives %s\nwant  %s", line, got, want)
		}
	}
}

func TestLevelOfTheLogIsThatOfTheAPI(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		log := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: level}))
		if got := levelOf(t.Context(), log); got != level.String() {
			t.Errorf("%s for %s", got, level)
		}
	}
}
