package dashboards

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The folders of the written files, and the unit tests of the rules in the first.
// They have a folder of their own since Prometheus would take them for rules. Those
// for native histograms stand beside and not below the others: Grafana's
// provisioning reads sub-folders too, and both have the same UIDs.
const (
	folder        = "../../dashboards"
	nativeFolder  = "../../dashboards-native"
	ruleTestsFile = "rules/tests/soakd_test.yaml"
)

// committed are the settings of the files in the repository, by their folder.
func committed() map[string]Settings {
	return map[string]Settings{folder: Default(), nativeFolder: {Native: true}}
}

var update = flag.Bool("update", false, "write the files of dashboards/ and dashboards-native/ anew")

// current writes the file or asserts that it is what is described here.
func current(t *testing.T, path string, content []byte) {
	t.Helper()
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
		t.Errorf("%s is not what internal/dashboards describes: run go test ./internal/dashboards -run Current -update", path)
	}
}

func TestDashboardsAreCurrent(t *testing.T) {
	for folder, s := range committed() {
		files := s.Files()
		for name, content := range files {
			if strings.HasSuffix(name, ".json") {
				current(t, filepath.Join(folder, name), content)
			}
		}
		// A file that nobody describes any more would still be loaded by Grafana.
		found, err := filepath.Glob(filepath.Join(folder, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != len(s.All()) {
			t.Errorf("%s holds %d dashboards, %d are described: %q", folder, len(found), len(s.All()), found)
		}
		for _, path := range found {
			if files[filepath.Base(path)] == nil {
				t.Errorf("%s is not described", path)
			}
		}
	}
}

func TestRulesAreCurrent(t *testing.T) {
	for folder, s := range committed() {
		current(t, filepath.Join(folder, filepath.FromSlash(RulesFile)), s.Files()[RulesFile])
	}
	current(t, filepath.Join(folder, filepath.FromSlash(ruleTestsFile)), ruleTestsYAML(t, "../soakd.yaml", ruleTestGroups(t)))
}
