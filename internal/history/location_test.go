package history_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"soakd/internal/history"
)

func TestLocate(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	environment := map[string]string{}
	for text, want := range map[string]string{
		"none": "none", "x.db": filepath.Join(folder, "x.db"), "sqlite:x.db": filepath.Join(folder, "x.db"),
		"sqlite:///var/x y.db": "/var/x y.db", "sqlite:/var/x.db": "/var/x.db", "/a/../b?c#d%20.db": "/b?c#d%20.db",
		"postgres://u:secret-word@h:5433/d?sslmode=disable": "postgres://h:5433/d", "postgresql://h/d": "postgres://h/d",
	} {
		location, err := history.Locate(text, func(name string) string { return environment[name] })
		if err != nil || location.String() != want || location.None() != (text == "none") {
			t.Errorf("%q: %v, %v, want %s", text, location, err, want)
		}
	}
	for text, want := range map[string]string{
		"mysql://h/secret-word": `the scheme "mysql" is not known`, "/x/": "no path of a file", "sqlite:": "no path of a file",
		"postgres://u:secret-word@h:port/d": "no URL of a Postgres", "postgres://u:secret-word%zz@h/d": "no URL of a Postgres",
	} {
		_, err := history.Locate(text, func(string) string { return "" })
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret-word") {
			t.Errorf("%q: %v, want %q without the secret", text, err, want)
		}
	}
}

func TestDefaultLocation(t *testing.T) {
	root := os.Geteuid() == 0
	for name, one := range map[string]struct {
		environment map[string]string
		want        string
		// ordinary tells that root has another.
		ordinary bool
	}{
		"systemd":  {map[string]string{"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "XDG_STATE_HOME": "/s", "HOME": "/h"}, "/var/lib/a/history.db", false},
		"xdg":      {map[string]string{"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/soakd/history.db", false},
		"relative": {map[string]string{"XDG_STATE_HOME": "s", "HOME": "/h"}, "/h/.local/state/soakd/history.db", true},
		"home":     {map[string]string{"HOME": "/h"}, "/h/.local/state/soakd/history.db", true},
		"nothing":  {nil, "XDG_STATE_HOME and HOME are not set", true},
	} {
		want := one.want
		if one.ordinary && root {
			want = "/var/lib/soakd/history.db"
		}
		location, err := history.Locate("", func(name string) string { return one.environment[name] })
		got := location.String()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestRetention(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]history.Retention{
		"400d":                            history.DefaultRetention(),
		"20d":                             {Minute: 8 * day, Five: 20 * day, Hour: 20 * day, Runs: 20 * day},
		"36h":                             {Minute: 36 * time.Hour, Five: 36 * time.Hour, Hour: 36 * time.Hour, Runs: 36 * time.Hour},
		"1m=30d":                          {Minute: 30 * day, Five: 35 * day, Hour: 400 * day, Runs: 400 * day},
		"1m=2h, 5m=3h,1h=36500d,runs=90m": {Minute: 2 * time.Hour, Five: 3 * time.Hour, Hour: 36500 * day, Runs: 90 * time.Minute},
	} {
		var got history.Retention
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
		written, err := got.MarshalText()
		var back history.Retention
		if err != nil || back.UnmarshalText(written) != nil || back != got {
			t.Errorf("%s is written as %s, which is %+v", text, written, back)
		}
	}
	for _, text := range []string{"", "d", "1", "59m", "-3d", "99999999999999999999d", "36501d", "1m=", "2m=8d", "1m=8d,", "8d,1m=8d"} {
		got := history.DefaultRetention()
		if err := got.UnmarshalText([]byte(text)); err == nil || got != history.DefaultRetention() {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}
