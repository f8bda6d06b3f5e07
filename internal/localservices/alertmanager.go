package localservices

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Alertmanager is a private Alertmanager for tests: alone, without a cluster,
// with its state in a temporary folder and no authentication.
type Alertmanager struct{ webService }

// errNoAlertmanager says what to do where there is none.
var errNoAlertmanager = errors.New("no Alertmanager on this machine: install it, e.g. " +
	"`apt-get install prometheus-alertmanager` (Debian, Ubuntu), `brew install alertmanager` (macOS)")

// StartAlertmanager starts a private Alertmanager with the given configuration
// file text and returns when it is ready. Paths in the text must be absolute.
// There is no embedded one: [Embedded] is an error. ctx bounds the start only;
// call Stop to end the server. It runs as the current user.
func StartAlertmanager(ctx context.Context, config string, opts Options) (*Alertmanager, error) {
	server, err := startFlagged(ctx, opts, flagged{
		// Debian's package has the longer name.
		kind: "Alertmanager", folder: "alertmanager", names: []string{"prometheus-alertmanager", "alertmanager"}, missing: errNoAlertmanager,
		ready: readyPath,
		flags: func(dir *workDir, port int) (map[string]string, error) {
			file, err := dir.writeFile("alertmanager.yml", config, nil)
			return map[string]string{
				"config.file":        file,
				"storage.path":       dir.join(dataFolder),
				"web.listen-address": "127.0.0.1:" + strconv.Itoa(port),
				// Else it opens a port for the other ones of a cluster, on all interfaces.
				"cluster.listen-address": "",
			}, err
		},
	})
	if err != nil {
		return nil, fmt.Errorf("start Alertmanager: %w", err)
	}
	return &Alertmanager{server}, nil
}
