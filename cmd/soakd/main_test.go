package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The test binary is soakd itself when a script calls `soakd`.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"soakd": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true})
}
