package localservices

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"syscall"
	"time"

	"soakd/internal/secret"
)

// Alertmanager is a private Alertmanager for tests: alone, without a cluster,
// with its state in a temporary folder and no authentication.
type Alertmanager struct{ *service }

// URL returns the base address, without a slash at its end.
func (a *Alertmanager) URL() string { return a.url.Value() }

// errNoAlertmanager says what to do where there is none.
var errNoAlertmanager = errors.New("no Alertmanager on this machine: install it, e.g. " +
	"`apt-get install prometheus-alertmanager` (Debian, Ubuntu), `brew install alertmanager` (macOS)")

// StartAlertmanager starts a private Alertmanager with the given configuration
// file text and returns when it is ready. Paths in the text must be absolute.
// There is no embedded one: [Embedded] is an error. ctx bounds the start only;
// call Stop to end the server. It runs as the current user.
func StartAlertmanager(ctx context.Context, config string, opts Options) (*Alertmanager, error) {
	server, err := startAlertmanager(ctx, config, opts)
	if err != nil {
		return nil, fmt.Errorf("start Alertmanager: %w", err)
	}
	return server, nil
}

func startAlertmanager(ctx context.Context, config string, opts Options) (*Alertmanager, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	// Debian's package has the longer name.
	path, ok := findProgram(searchPath(opts.searchPath, "/usr/local/bin", "/usr/bin", "/opt/homebrew/bin"), "prometheus-alertmanager", "alertmanager")
	if !ok || opts.Mode == Embedded {
		return nil, errNoAlertmanager
	}
	version, err := programVersion(ctx, path, "--version")
	if err != nil {
		return nil, err
	}
	dir, err := newWorkDir(opts.Dir, "alertmanager", nil, opts.Logger)
	if err != nil {
		return nil, err
	}
	steps := []step{{syscall.SIGTERM, 10 * time.Second}}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	proc, port, err := launch{
		command: func(port int) (command, error) { return alertmanagerCommand(path, dir, port, config, opts.Settings) },
		// /-/ready answers 200 once the configuration is loaded.
		ready: prometheusReady,
		steps: steps,
	}.start(ctx, opts.port)
	if err != nil {
		return nil, errors.Join(err, dir.remove())
	}
	opts.Logger.Debug("started a private Alertmanager", "version", version, "pid", proc.cmd.Process.Pid)
	return &Alertmanager{&service{
		kind: "Alertmanager " + version + " from " + path, url: secret.New("http://127.0.0.1:" + strconv.Itoa(port)),
		logger: opts.Logger, dir: dir, proc: proc, steps: steps, done: proc.done,
	}}, nil
}

func alertmanagerCommand(path string, dir *workDir, port int, config string, flags map[string]string) (command, error) {
	data := dir.join(dataFolder)
	if err := dir.ensure(dataFolder, nil); err != nil {
		return command{}, fmt.Errorf("make the data folder: %w", err)
	}
	file, err := dir.writeFile("alertmanager.yml", config, nil)
	if err != nil {
		return command{}, fmt.Errorf("write the configuration: %w", err)
	}
	all := map[string]string{
		"config.file":        file,
		"storage.path":       data,
		"web.listen-address": "127.0.0.1:" + strconv.Itoa(port),
		// Else it opens a port for the other ones of a cluster, on all interfaces.
		"cluster.listen-address": "",
	}
	maps.Copy(all, flags)
	return command{path: path, args: longFlags(all), dir: data, orphaned: syscall.SIGKILL}, nil
}
