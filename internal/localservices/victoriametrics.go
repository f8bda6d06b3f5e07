package localservices

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"syscall"
	"time"

	"soakd/internal/secret"
)

// VictoriaMetrics is a private single-node VictoriaMetrics for tests: storage in a
// temporary folder, no authentication, and what is scraped can be asked for at
// once. Other than it is by default, answers are not kept and not delayed by 30 s.
type VictoriaMetrics struct{ *service }

// URL returns the base address, without a slash at its end.
func (v *VictoriaMetrics) URL() string { return v.url.Value() }

// VMAlert is a private vmalert, which evaluates rules against a VictoriaMetrics
// and writes what they give back to it.
type VMAlert struct{ *service }

// URL returns the base address, without a slash at its end.
func (v *VMAlert) URL() string { return v.url.Value() }

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
		kind: "VictoriaMetrics", names: []string{"victoria-metrics", "victoria-metrics-prod"}, ready: "/health",
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
		kind: "vmalert", names: []string{"vmalert", "vmalert-prod"}, ready: "/health",
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

// flagged is a server that is told everything by flags.
type flagged struct {
	kind  string
	names []string
	// ready is the path that answers 200 once it is.
	ready string
	flags func(dir *workDir, port int) (map[string]string, error)
}

func startFlagged(ctx context.Context, opts Options, f flagged) (*service, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	path, ok := findProgram(searchPath(opts.searchPath, "/usr/local/bin", "/usr/bin", "/opt/homebrew/bin"), f.names...)
	if !ok || opts.Mode == Embedded {
		return nil, ErrNoVictoriaMetrics
	}
	// Debian's builds do not know their version.
	version, err := programVersion(ctx, path, "--version")
	if err != nil {
		version = "of unknown version"
	}
	dir, err := newWorkDir(opts.Dir, "victoria", nil, opts.Logger)
	if err != nil {
		return nil, err
	}
	steps := []step{{syscall.SIGTERM, 10 * time.Second}}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	proc, port, err := launch{
		command: func(port int) (command, error) { return f.command(path, dir, port, opts.Settings) },
		ready: func(ctx context.Context, port int) error {
			return askReady(ctx, "http://127.0.0.1:"+strconv.Itoa(port)+f.ready)
		},
		steps: steps,
	}.start(ctx, opts.port)
	if err != nil {
		return nil, errors.Join(err, dir.remove())
	}
	opts.Logger.Debug("started a private "+f.kind, "version", version, "pid", proc.cmd.Process.Pid)
	return &service{
		kind: f.kind + " " + version + " from " + path, url: secret.New("http://127.0.0.1:" + strconv.Itoa(port)),
		logger: opts.Logger, dir: dir, proc: proc, steps: steps, done: proc.done,
	}, nil
}

func (f flagged) command(path string, dir *workDir, port int, own map[string]string) (command, error) {
	if err := dir.ensure(dataFolder, nil); err != nil {
		return command{}, fmt.Errorf("make the data folder: %w", err)
	}
	flags, err := f.flags(dir, port)
	if err != nil {
		return command{}, fmt.Errorf("write the configuration: %w", err)
	}
	maps.Copy(flags, own)
	var args []string
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		args = append(args, "-"+name+"="+flags[name])
	}
	return command{path: path, args: args, dir: dir.join(dataFolder), orphaned: syscall.SIGKILL}, nil
}
