package localservices

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// VictoriaMetrics is a private single-node VictoriaMetrics for tests: storage in a
// temporary folder, no authentication, and what is scraped can be asked for at
// once. Other than it is by default, answers are not kept and not delayed by 30 s.
type VictoriaMetrics struct{ webService }

// VMAlert is a private vmalert, which evaluates rules against a VictoriaMetrics
// and writes what they give back to it.
type VMAlert struct{ webService }

// ErrNoVictoriaMetrics says what to do where there is no VictoriaMetrics.
var ErrNoVictoriaMetrics = errors.New("no VictoriaMetrics on this machine: install it with vmalert, e.g. " +
	"`apt-get install victoria-metrics` (Debian), `brew install victoriametrics` (macOS)")

// StartVictoriaMetrics starts a private VictoriaMetrics that scrapes as the given
// text says, which is Prometheus' configuration with scrape_configs and global
// alone, and returns when it is ready. opts.Settings are flags without the
// leading dash. The error is [ErrNoVictoriaMetrics] where there is none. ctx
// bounds the start only; call Stop to end the server.
func StartVictoriaMetrics(ctx context.Context, scrape string, opts Options) (*VictoriaMetrics, error) {
	server, err := startFlagged(ctx, opts, flagged{
		kind: "VictoriaMetrics", folder: "victoria", names: []string{"victoria-metrics", "victoria-metrics-prod"}, missing: ErrNoVictoriaMetrics,
		ready: "/health", versionless: true,
		flags: func(dir *workDir, port int) (map[string]string, error) {
			file, err := dir.writeFile("scrape.yml", scrape, nil)
			return map[string]string{
				"promscrape.config": file, "storageDataPath": dir.join(dataFolder), "httpListenAddr": "127.0.0.1:" + strconv.Itoa(port),
				"retentionPeriod": "1d", "search.latencyOffset": "0s", "search.disableCache": "true",
			}, err
		},
	})
	if err != nil {
		return nil, fmt.Errorf("start VictoriaMetrics: %w", err)
	}
	return &VictoriaMetrics{server}, nil
}

// StartVMAlert starts a private vmalert that evaluates the rules of a file each
// second against storage and sends alerts to notifier, a base URL such as that of
// an Alertmanager. It returns when it is ready.
func StartVMAlert(ctx context.Context, rules string, storage *VictoriaMetrics, notifier string, opts Options) (*VMAlert, error) {
	server, err := startFlagged(ctx, opts, flagged{
		kind: "vmalert", folder: "victoria", names: []string{"vmalert", "vmalert-prod"}, missing: ErrNoVictoriaMetrics,
		ready: "/health", versionless: true,
		flags: func(_ *workDir, port int) (map[string]string, error) {
			return map[string]string{
				"rule": rules, "datasource.url": storage.URL(), "remoteWrite.url": storage.URL(), "notifier.url": notifier,
				"evaluationInterval": "1s", "remoteWrite.flushInterval": "1s", "httpListenAddr": "127.0.0.1:" + strconv.Itoa(port),
			}, nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("start vmalert: %w", err)
	}
	return &VMAlert{server}, nil
}
