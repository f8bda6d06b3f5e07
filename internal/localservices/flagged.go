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

// webService is a server whose address is no secret: it has no password.
type webService struct{ *service }

// URL returns the base address, without a slash at its end.
func (s webService) URL() string { return s.url.Value() }

// flagged is a server that is told everything by flags.
type flagged struct {
	// kind is what people call it, folder what its folder is called.
	kind, folder string
	// names are those of its program, missing the error where there is none.
	names   []string
	missing error
	// versionless tells that some builds do not know their version.
	versionless bool
	// ready is the path that answers 200 once it is.
	ready string
	flags func(dir *workDir, port int) (map[string]string, error)
}

func startFlagged(ctx context.Context, opts Options, f flagged) (webService, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return webService{}, err
	}
	path, ok := findProgram(searchPath(opts.searchPath, "/usr/local/bin", "/usr/bin", "/opt/homebrew/bin"), f.names...)
	if !ok || opts.Mode == Embedded {
		return webService{}, f.missing
	}
	version, err := programVersion(ctx, path, "--version")
	switch {
	case err != nil && f.versionless:
		version = "of unknown version"
	case err != nil:
		return webService{}, err
	}
	dir, err := newWorkDir(opts.Dir, f.folder, nil, opts.Logger)
	if err != nil {
		return webService{}, err
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
		return webService{}, errors.Join(err, dir.remove())
	}
	opts.Logger.Debug("started a private "+f.kind, "version", version, "pid", proc.cmd.Process.Pid)
	return webService{&service{
		kind: f.kind + " " + version + " from " + path, url: secret.New("http://127.0.0.1:" + strconv.Itoa(port)),
		logger: opts.Logger, dir: dir, proc: proc, steps: steps, done: proc.done,
	}}, nil
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
		if flags[name] == "true" { // Prometheus' own take no value
			args = append(args, "--"+name)
			continue
		}
		args = append(args, "--"+name+"="+flags[name])
	}
	return command{path: path, args: args, dir: dir.join(dataFolder), orphaned: syscall.SIGKILL}, nil
}
