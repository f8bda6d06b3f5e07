package dashboards

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The folder of the written files, and the unit tests of the rules in it. They
// have a folder of their own since Prometheus would take them for rules.
const (
	folder        = "../../dashboards"
	ruleTestsFile = "rules/tests/soakd_test.yaml"
)

var update = flag.Bool("update", false, "write the files of dashboards/ anew")

// current writes the file or asserts that it is what is described here.
func current(t *testing.T, name string, content []byte) {
	t.Helper()
	path := filepath.Join(folder, filepath.FromSlash(name))
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	committed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(committed, content) {
		t.Errorf("dashboards/%s is not what internal/dashboards describes: run go test ./internal/dashboards -run Current -update", name)
	}
}

func TestDashboardsAreCurrent(t *testing.T) {
	files := Default().Files()
	for name, content := range files {
		if strings.HasSuffix(name, ".json") {
			current(t, name, content)
		}
	}
	// A file that nobody describes any more would still be loaded by Grafana.
	found, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != len(Default().All()) {
		t.Errorf("dashboards/ holds %d dashboards, %d are described: %q", len(found), len(Default().All()), found)
	}
	for _, path := range found {
		if files[filepath.Base(path)] == nil {
			t.Errorf("%s is not described", path)
		}
	}
}

func TestRulesAreCurrent(t *testing.T) {
	current(t, RulesFile, Default().Files()[RulesFile])
	current(t, ruleTestsFile, ruleTestsYAML(t))
}
