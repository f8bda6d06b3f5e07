package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The test binary is soakd itself when a script calls `soakd`, and the reference
// API when a test starts services, which run what os.Executable names.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == referenceAPI {
		main()
	}
	// What bounded runs of these tests come to must not depend on how busy the
	// machine is, nor on a history of runs before; tests of these set them.
	for name, value := range map[string]string{"SOAKD_LAG_LIMIT": "1h", "SOAKD_CPU_LIMIT": "1", "SOAKD_HISTORY_URL": "none"} {
		if _, set := os.LookupEnv(name); set {
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	testscript.Main(tests{m}, map[string]func(){"soakd": main})
}

// tests removes what all of them share.
type tests struct{ *testing.M }

func (m tests) Run() int {
	code := m.M.Run()
	if err := os.RemoveAll(binaryFolder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true})
}
