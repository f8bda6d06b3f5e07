// Package internal_test keeps the layout of the tree as ARCHITECTURE.md draws it.
package internal_test

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// imports returns what each package of the module imports, directly.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "soakd/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	decoder := json.NewDecoder(strings.NewReader(string(output)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(p.ImportPath, "soakd/")] = p.Imports
	}
}

// within reports whether a package path is that of a folder or below it.
func within(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

func TestWhoMayImportWhom(t *testing.T) {
	all := imports(t)
	if len(all) < 10 {
		t.Fatalf("only %d packages found", len(all))
	}
	// Parts that do not know one another.
	apart := []string{"internal/load", "internal/probes", "internal/judge", "internal/history", "internal/refapi", "internal/localservices"}
	for path, list := range all {
		for _, imported := range list {
			mine, ours := strings.CutPrefix(imported, "soakd/")
			for _, a := range apart {
				for _, b := range apart {
					if a != b && within(path, a) && ours && within(mine, b) {
						t.Errorf("%s imports %s: these parts do not know one another", path, mine)
					}
				}
			}
			if ours && within(mine, "cmd") {
				t.Errorf("%s imports a command", path)
			}
			if strings.HasPrefix(imported, "github.com/prometheus/client_golang") && !within(path, "internal/exporter") && !within(path, "internal/refapi") {
				t.Errorf("%s imports client_golang: only the exporter (and the reference API, a program of its own) may", path)
			}
			if ours && slices.ContainsFunc([]string{"internal/refapi", "internal/localservices"}, func(f string) bool { return within(mine, f) }) &&
				!within(path, "cmd/soakd") && !within(path, "internal/refapi") && !within(path, "internal/localservices") &&
				// The benchmark's target for the cashflow mix, the servers of the comparison of
				// exporters, of queries and of pictures; no part of soakd.
				!slices.Contains([]string{"bench/reference", "bench/compare-exporters", "bench/queries", "bench/pictures"}, path) {
				t.Errorf("%s imports %s, which is for the demo and for tests", path, mine)
			}
		}
	}
}

// `soakd run` shares its package with the demo; what only the demo needs is kept
// to the demo's own files.
func TestOnlyTheDemoUsesItsServers(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "cmd", "soakd", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	users := map[string][]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range parsed.Imports {
			users[one.Path.Value] = append(users[one.Path.Value], filepath.Base(file))
		}
	}
	for path, want := range map[string][]string{
		`"soakd/internal/localservices"`: {"demo.go", "referenceapi.go"},
		`"soakd/internal/refapi"`:        {"referenceapi.go"},
	} {
		if got := users[path]; !slices.Equal(got, want) {
			t.Errorf("%s is imported by %v, want %v", path, got, want)
		}
	}
}

// A package named after nothing in particular becomes the place for everything.
func TestNoPackageForEverything(t *testing.T) {
	for path := range imports(t) {
		for _, name := range []string{"types", "models", "common", "util", "utils", "helpers", "misc"} {
			if within(path, "internal/"+name) || strings.HasSuffix(path, "/"+name) {
				t.Errorf("%s says nothing by its name", path)
			}
		}
	}
}
