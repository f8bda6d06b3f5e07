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

// Prometheus is a private Prometheus server for tests: storage in a temporary
// folder, no authentication, native histograms and exemplars switched on.
type Prometheus struct{ *service }

// URL returns the base address, without a slash at its end.
func (p *Prometheus) URL() string { return p.url.Value() }

// errNoPrometheus says what to do where there is no Prometheus.
var errNoPrometheus = errors.New("no Prometheus on this machine: install it, e.g. " +
	"`apt-get install prometheus` (Debian, Ubuntu), `brew install prometheus` (macOS)")

// StartPrometheus starts a private Prometheus with the given configuration
// file text and returns when it is ready. Paths in the text must be absolute.
// There is no embedded Prometheus: [Embedded] is an error. ctx bounds the
// start only; call Stop to end the server. It runs as the current user, so
// that it can read the rule files of a private folder.
func StartPrometheus(ctx context.Context, config string, opts Options) (*Prometheus, error) {
	server, err := startPrometheus(ctx, config, opts)
	if err != nil {
		return nil, fmt.Errorf("start Prometheus: %w", err)
	}
	return server, nil
}

func startPrometheus(ctx context.Context, config string, opts Options) (*Prometheus, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	path, ok := findProgram(searchPath(opts.searchPath, "/usr/local/bin", "/usr/bin", "/opt/homebrew/bin"), "prometheus")
	if !ok || opts.Mode == Embedded {
		return nil, errNoPrometheus
	}
	version, err := programVersion(ctx, path, "--version")
	if err != nil {
		return nil, err
	}
	dir, err := newWorkDir(opts.Dir, "prometheus", nil, opts.Logger)
	if err != nil {
		return nil, err
	}
	steps := []step{{syscall.SIGTERM, 10 * time.Second}}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	proc, port, err := launch{
		command: func(port int) (command, error) { return prometheusCommand(path, dir, port, config, opts.Settings) },
		ready:   prometheusReady,
		steps:   steps,
	}.start(ctx, opts.port)
	if err != nil {
		return nil, errors.Join(err, dir.remove())
	}
	opts.Logger.Debug("started a private Prometheus", "version", version, "pid", proc.cmd.Process.Pid)
	return &Prometheus{&service{
		kind: "Prometheus " + version + " from " + path, url: secret.New("http://127.0.0.1:" + strconv.Itoa(port)),
		logger: opts.Logger, dir: dir, proc: proc, steps: steps, done: proc.done,
	}}, nil
}

func prometheusCommand(path string, dir *workDir, port int, config string, flags map[string]string) (command, error) {
	data := dir.join(dataFolder)
	if err := dir.ensure(dataFolder, nil); err != nil {
		return command{}, fmt.Errorf("make the data folder: %w", err)
	}
	file, err := dir.writeFile("prometheus.yml", config, nil)
	if err != nil {
		return command{}, fmt.Errorf("write the configuration: %w", err)
	}
	all := map[string]string{
		"config.file":        file,
		"storage.tsdb.path":  data,
		"web.listen-address": "127.0.0.1:" + strconv.Itoa(port),
		"enable-feature":     "native-histograms,exemplar-storage",
	}
	maps.Copy(all, flags)
	return command{path: path, args: longFlags(all), dir: data, orphaned: syscall.SIGKILL}, nil
}

// longFlags writes flags as the servers of Prometheus read them, in a fixed order.
func longFlags(all map[string]string) []string {
	var args []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "--"+name+"="+all[name])
	}
	return args
}

// prometheusReady asks /-/ready, which answers 200 once the storage is open
// and the configuration is loaded.
func prometheusReady(ctx context.Context, port int) error {
	return askReady(ctx, "http://127.0.0.1:"+strconv.Itoa(port)+"/-/ready")
}
