package localservices

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"soakd/internal/secret"
)

// replicaSlot is the replication slot at the primary through which a replica of
// [StartPostgresReplica] streams.
const replicaSlot = "soakd_replica"

// StartPostgresReplica copies a private Postgres and runs the copy as its
// streaming replica, with the binaries of primary, through a replication slot. A
// primary can have one. URL, MonitorURL and AdminURL are those of the replica,
// with the roles of the primary. ctx bounds the start only; call Stop to end it,
// before the primary.
func StartPostgresReplica(ctx context.Context, primary *Postgres, opts Options) (*Postgres, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("start a replica: %w", err)
	}
	runAs, err := unprivileged("postgres", "nobody")
	if err != nil {
		return nil, fmt.Errorf("start a replica: %w", err)
	}
	dir, err := newWorkDir(opts.Dir, "postgres", runAs, opts.Logger)
	if err != nil {
		return nil, fmt.Errorf("start a replica: %w", err)
	}
	server, err := startReplicaIn(ctx, primary, dir, runAs, opts)
	if err != nil {
		removeSharedMemory(dir.path)
		return nil, errors.Join(fmt.Errorf("start a replica: %w", err), dir.remove())
	}
	return server, nil
}

func startReplicaIn(ctx context.Context, primary *Postgres, dir *workDir, runAs *account, opts Options) (*Postgres, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	init := postgresInit{dir: dir, runAs: runAs, bin: filepath.Dir(primary.proc.cmd.Path), data: dir.join(dataFolder)}
	if err := dir.ensure(dataFolder, runAs); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	err := runProcess(ctx, command{
		path: filepath.Join(init.bin, "pg_basebackup"),
		args: []string{"-D", init.data, "-R", "-X", "stream", "-c", "fast", "-C", "-S", replicaSlot, "--no-sync", "-d", withoutPassword(primary.adminURL)},
		// Not among the arguments, which all can see.
		env: []string{"PGPASSWORD=" + password(primary.adminURL)},
		dir: init.data, account: runAs, orphaned: syscall.SIGKILL,
	})
	if err != nil {
		return nil, err
	}
	if err := appendFile(filepath.Join(init.data, "postgresql.conf"), postgresConf(opts.Settings)); err != nil {
		return nil, err
	}
	steps := []step{{syscall.SIGINT, 10 * time.Second}, {syscall.SIGQUIT, 7 * time.Second}}
	proc, port, err := launch{
		command: func(port int) (command, error) { return init.server(port), nil },
		ready: func(ctx context.Context, port int) error {
			return execSQL(ctx, atPort(primary.adminURL, port).Value(), "SELECT 1")
		},
		steps: steps,
	}.start(ctx, opts.port)
	if err != nil {
		return nil, err
	}
	server := newPostgres(dir, proc, steps, postgresBinaries{kind: "a replica of " + primary.kind}, opts)
	server.url, server.monitorURL, server.adminURL = atPort(primary.url, port), atPort(primary.monitorURL, port), atPort(primary.adminURL, port)
	return server, nil
}

// parsed takes one of the package's own addresses apart.
func parsed(address secret.String) *url.URL {
	u, err := url.Parse(address.Value())
	if err != nil {
		return &url.URL{} // never: the package wrote it
	}
	return u
}

// atPort returns the same address on another port of the loopback interface.
func atPort(address secret.String, port int) secret.String {
	u := parsed(address)
	u.Host = "127.0.0.1:" + strconv.Itoa(port)
	return secret.New(u.String())
}

func password(address secret.String) string {
	text, _ := parsed(address).User.Password()
	return text
}

func withoutPassword(address secret.String) string {
	u := parsed(address)
	u.User = url.User(u.User.Username())
	return u.String()
}
