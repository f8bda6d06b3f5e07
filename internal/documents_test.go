package internal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every file that a document links to is there.
func TestLinksOfDocuments(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)
	checked := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && entry.Name() != "..":
			return filepath.SkipDir
		case filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, match := range link.FindAllSubmatch(text, -1) {
			target := string(match[1])
			if strings.Contains(target, "://") || strings.HasPrefix(target, "/") { // elsewhere: the web, Grafana
				continue
			}
			checked++
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), target)); err != nil {
				t.Errorf("%s links to %s, which is not there", path, target)
			}
		}
		return nil
	})
	if err != nil || checked < 5 {
		t.Errorf("%d links checked, %v", checked, err)
	}
}

// Every direct dependency has its reason written down.
func TestDependenciesHaveReasons(t *testing.T) {
	module, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	reasons, err := os.ReadFile("../docs/decisions/0001-dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`/v\d+$`)
	direct := regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllSubmatch(module, -1)
	for _, match := range direct {
		name := version.ReplaceAllString(strings.TrimPrefix(string(match[1]), "github.com/"), "")
		if !strings.Contains(string(reasons), name) {
			t.Errorf("%s is a direct dependency without a reason in 0001-dependencies.md", name)
		}
	}
	if len(direct) < 10 {
		t.Errorf("only %d direct dependencies found", len(direct))
	}
}
