package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"soakd/internal/secret"
)

const hidden = "hunter2-hunter2"

func TestStringNeverPrintsItsValue(t *testing.T) {
	s := secret.New(hidden)
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "secret", s, "in", struct{ S secret.String }{s})
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "secret", s, "in", struct{ S secret.String }{s})
	encoded, err := json.Marshal(map[string]any{"s": s, "p": &s})
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{
		logged.String(), string(encoded), s.String(), s.GoString(),
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %d %x", s, s, s, s, s, s, s),
		fmt.Sprintf("%+v %#v", struct{ S secret.String }{s}, &s),
		fmt.Errorf("with %v", s).Error(),
	}
	hex := fmt.Sprintf("%x", hidden)
	for _, text := range texts {
		if strings.Contains(text, hidden) || strings.Contains(text, hex) {
			t.Errorf("the secret shows in %q", text)
		}
		if !strings.Contains(text, "[redacted]") {
			t.Errorf("no placeholder in %q", text)
		}
	}
	if s.Value() != hidden || !s.IsSet() {
		t.Error("the value is lost")
	}
	if unset := (secret.String{}); unset.String() != "" || unset.IsSet() {
		t.Error("an unset secret must print nothing")
	}
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := write("ok", hidden+"\r\n")
	for name, path := range map[string]string{
		"missing": filepath.Join(dir, "none"), "empty": write("empty", "\n"),
		"huge": write("huge", strings.Repeat("x", 64<<10+1)), "directory": dir,
	} {
		if got, err := secret.Resolve(secret.String{}, path); err == nil || got.IsSet() {
			t.Errorf("%s: got %q and no error", name, got.Value())
		}
	}
	if got, err := secret.Resolve(secret.String{}, file); err != nil || got.Value() != hidden {
		t.Errorf("file: %q, %v", got.Value(), err)
	}
	if got, err := secret.Resolve(secret.New("v"), ""); err != nil || got.Value() != "v" {
		t.Errorf("value: %q, %v", got.Value(), err)
	}
	if _, err := secret.Resolve(secret.New("v"), file); !errors.Is(err, secret.ErrBoth) {
		t.Errorf("both: %v", err)
	}
}
