package localservices

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Prometheus is a private Prometheus server for tests: storage in a temporary
// folder, no authentication, native histograms and exemplars switched on.
type Prometheus struct{ webService }

// errNoPrometheus says what to do where there is no Prometheus.
var errNoPrometheus = errors.New("no Prometheus on this machine: install it, e.g. " +
	"`apt-get install prometheus` (Debian, Ubuntu), `brew install prometheus` (macOS)")

// StartPrometheus starts a private Prometheus with the given configuration
// file text and returns when it is ready. Paths in the text must be absolute.
// There is no embedded Prometheus: [Embedded] is an error. ctx bounds the
// start only; call Stop to end the server. It runs as the current user, so
// that it can read the rule files of a private folder.
func StartPrometheus(ctx context.Context, config string, opts Options) (*Prometheus, error) {
	server, err := startFlagged(ctx, opts, flagged{
		kind: "Prometheus", folder: "prometheus", names: []string{"prometheus"}, missing: errNoPrometheus,
		ready: readyPath,
		flags: func(dir *workDir, port int) (map[string]string, error) {
			file, err := dir.writeFile("prometheus.yml", config, nil)
			return map[string]string{
				"config.file":        file,
				"storage.tsdb.path":  dir.join(dataFolder),
				"web.listen-address": "127.0.0.1:" + strconv.Itoa(port),
				"enable-feature":     "native-histograms,exemplar-storage",
			}, err
		},
	})
	if err != nil {
		return nil, fmt.Errorf("start Prometheus: %w", err)
	}
	return &Prometheus{server}, nil
}

// readyPath answers 200 once a server of Prometheus' has loaded its configuration
// and opened its storage.
const readyPath = "/-/ready"
