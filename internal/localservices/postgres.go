package localservices

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"soakd/internal/secret"
)

const (
	// adminRole is the superuser of a private Postgres, appRole the owner of
	// its one database (of the same name).
	adminRole = "soakd_admin"
	appRole   = "app"
	// monitorRole is what a probe would be given: pg_monitor and read-only.
	monitorRole = "soakd_monitor"
	// oldestPostgres is the oldest major version that is used.
	oldestPostgres = 12
)

// Postgres is a private PostgreSQL server.
//
// It has scram-sha-256 passwords, max_connections 60 and pg_stat_statements
// where that exists. Its data is thrown away at the end, so fsync,
// synchronous_commit and full_page_writes are off.
type Postgres struct {
	*service
	adminURL   secret.String
	monitorURL secret.String
}

// URL returns the address of the database as its owner: not a superuser, may
// create databases, is a member of pg_monitor.
func (p *Postgres) URL() secret.String { return p.url }

// MonitorURL returns the address of the database as a role that may read
// everything about the server and write nothing (pg_monitor, read-only).
func (p *Postgres) MonitorURL() secret.String { return p.monitorURL }

// AdminURL returns the address of the database as superuser.
func (p *Postgres) AdminURL() secret.String { return p.adminURL }

// StartPostgres starts a private PostgreSQL and returns when its database can
// be used. ctx bounds the start only; call Stop to end the server. When the
// start fails or ctx ends first, nothing is left running or on disk, and the
// error holds the end of the server's output. As root the server runs as the
// user postgres, else nobody.
func StartPostgres(ctx context.Context, opts Options) (*Postgres, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	runAs, err := unprivileged("postgres", "nobody")
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	dir, err := newWorkDir(opts.Dir, "postgres", runAs, opts.Logger)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	server, err := startPostgresIn(ctx, dir, runAs, opts)
	if err != nil {
		removeSharedMemory(dir.path)
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), dir.remove())
	}
	opts.Logger.Debug("started a private PostgreSQL", "server", server.kind, "pid", server.PID())
	return server, nil
}

func startPostgresIn(ctx context.Context, dir *workDir, runAs *account, opts Options) (*Postgres, error) {
	found, err := choosePostgres(ctx, dir, runAs, opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	init := postgresInit{dir: dir, runAs: runAs, bin: found.bin, admin: newPassword()}
	if err := init.run(ctx, found.settings(opts.Settings)); err != nil {
		return nil, err
	}
	steps := []step{
		{syscall.SIGINT, 10 * time.Second}, // fast shutdown
		{syscall.SIGQUIT, 7 * time.Second}, // immediate shutdown: it kills its children after 5 s itself
	}
	proc, port, err := launch{
		command: func(port int) (command, error) { return init.server(port), nil },
		ready: func(ctx context.Context, port int) error {
			return execSQL(ctx, postgresURL(adminRole, init.admin, port, "postgres"), "SELECT 1")
		},
		steps: steps,
	}.start(ctx, opts.port)
	if err != nil {
		return nil, err
	}
	server := newPostgres(dir, proc, steps, found, opts)
	if err := server.prepare(ctx, port, init.admin); err != nil {
		proc.stop(steps)
		return nil, err
	}
	return server, nil
}

func newPostgres(dir *workDir, proc *process, steps []step, found postgresBinaries, opts Options) *Postgres {
	return &Postgres{service: &service{
		kind: found.kind,
		notMeasured: []string{
			"the time that commits need to reach the disk (fsync, synchronous_commit and full_page_writes are off)",
		},
		logger: opts.Logger, dir: dir, proc: proc, steps: steps, done: proc.done,
	}}
}

// prepare makes the roles and the database. pg_stat_statements goes into
// template1 so that every database made later has it too.
func (p *Postgres) prepare(ctx context.Context, port int, admin string) error {
	err := execSQL(ctx, postgresURL(adminRole, admin, port, "template1"), "CREATE EXTENSION pg_stat_statements")
	if err != nil {
		p.notMeasured = append(p.notMeasured, "the performance of statements (pg_stat_statements is not installed)")
		p.logger.Info("the private PostgreSQL has no pg_stat_statements", "err", err)
	}
	app, monitor := newPassword(), newPassword()
	statements := []string{ // each on its own: CREATE DATABASE cannot run in a transaction
		fmt.Sprintf("CREATE ROLE %s LOGIN CREATEDB PASSWORD '%s'", appRole, app),
		"GRANT pg_monitor TO " + appRole,
		fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", monitorRole, monitor),
		"GRANT pg_monitor TO " + monitorRole,
		fmt.Sprintf("ALTER ROLE %s SET default_transaction_read_only = on", monitorRole),
		fmt.Sprintf("CREATE DATABASE %s OWNER %s", appRole, appRole),
	}
	if err := execSQL(ctx, postgresURL(adminRole, admin, port, "postgres"), statements...); err != nil {
		return fmt.Errorf("make the roles and the database: %w", err)
	}
	p.adminURL = secret.New(postgresURL(adminRole, admin, port, appRole))
	p.monitorURL = secret.New(postgresURL(monitorRole, monitor, port, appRole))
	p.url = secret.New(postgresURL(appRole, app, port, appRole))
	return nil
}

// execSQL runs statements one by one on one connection.
func execSQL(ctx context.Context, address string, statements ...string) (err error) {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
	}
	return nil
}

// postgresURL returns the address of a database on the loopback interface.
func postgresURL(role, password string, port int, database string) string {
	address := url.URL{
		Scheme: "postgres", User: url.UserPassword(role, password),
		Host: "127.0.0.1:" + strconv.Itoa(port), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return address.String()
}

// postgresInit makes the data folder of a new server and knows how to run it.
type postgresInit struct {
	dir   *workDir
	runAs *account
	bin   string // folder of initdb and postgres
	admin string // password of the superuser
	data  string
}

// run makes the data folder with initdb and writes the settings.
func (i *postgresInit) run(ctx context.Context, settings map[string]string) error {
	i.data = i.dir.join(dataFolder)
	if err := i.dir.ensure(dataFolder, i.runAs); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	password, err := i.dir.writeFile("password", i.admin+"\n", i.runAs)
	if err != nil {
		return fmt.Errorf("write the password for initdb: %w", err)
	}
	err = runProcess(ctx, command{
		path: filepath.Join(i.bin, "initdb"),
		args: []string{
			"-D", i.data, "-U", adminRole, "--pwfile=" + password, "-A", "scram-sha-256",
			"-E", "UTF8", "--locale=C", "--no-sync",
			// As servers have them from Postgres 18 on; broken pages can be counted only then.
			"--data-checksums",
		},
		dir: i.data, account: i.runAs, orphaned: syscall.SIGKILL,
	})
	if err != nil {
		return err
	}
	if err := os.Remove(password); err != nil {
		return fmt.Errorf("remove the password for initdb: %w", err)
	}
	return appendFile(filepath.Join(i.data, "postgresql.conf"), postgresConf(settings))
}

// server returns the command that runs the server. When its parent is killed
// it shuts down at once (SIGQUIT), which removes its shared memory as well.
func (i *postgresInit) server(port int) command {
	return command{
		path: filepath.Join(i.bin, "postgres"),
		args: []string{"-D", i.data, "-c", "port=" + strconv.Itoa(port)},
		dir:  i.data, account: i.runAs, orphaned: syscall.SIGQUIT,
	}
}

// settings returns what goes into postgresql.conf.
func (b postgresBinaries) settings(extra map[string]string) map[string]string {
	settings := map[string]string{
		"listen_addresses":           "127.0.0.1",
		"unix_socket_directories":    "", // none: the path of a socket is limited to about 100 bytes
		"max_connections":            "60",
		"password_encryption":        "scram-sha-256",
		"fsync":                      "off",
		"synchronous_commit":         "off",
		"full_page_writes":           "off",
		"shared_buffers":             "64MB",
		"max_wal_size":               "256MB",
		"huge_pages":                 "off",
		"dynamic_shared_memory_type": "mmap", // in the data folder, so that nothing stays in /dev/shm
		"logging_collector":          "off",
		"log_line_prefix":            "%m [%p] %a ",
		"log_checkpoints":            "off",
		"track_io_timing":            "on",
		"autovacuum_naptime":         "10s", // a demo lasts minutes: dead rows should come and go
		"timezone":                   "UTC",
	}
	if b.statements {
		settings["shared_preload_libraries"] = "pg_stat_statements"
	}
	maps.Copy(settings, extra)
	return settings
}

// postgresConf writes settings as lines of postgresql.conf.
func postgresConf(settings map[string]string) string {
	var text strings.Builder
	text.WriteString("\n# soakd\n")
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		value := strings.NewReplacer(`'`, `''`, `\`, `\\`).Replace(settings[name])
		fmt.Fprintf(&text, "%s = '%s'\n", name, value)
	}
	return text.String()
}

func appendFile(path, text string) (err error) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = file.WriteString(text)
	return err
}

// postgresBinaries is a PostgreSQL that can be run.
type postgresBinaries struct {
	bin        string // folder of initdb and postgres
	kind       string
	statements bool // pg_stat_statements is there
}

// choosePostgres returns the binaries to use, which for an embedded server it
// puts into dir.
func choosePostgres(ctx context.Context, dir *workDir, runAs *account, opts Options) (postgresBinaries, error) {
	if opts.Mode != Embedded {
		found, err := findPostgres(ctx, opts)
		if err == nil || opts.Mode == System {
			return found, err
		}
		opts.Logger.Info("no PostgreSQL on this machine, using an embedded one", "reason", err)
	}
	found, err := embeddedPostgres(ctx, dir, runAs, opts)
	switch {
	case err == nil:
		return found, nil
	case opts.Mode == Embedded:
		return found, fmt.Errorf("the embedded PostgreSQL could not be had; take an installed one instead: %s; what went wrong: %w", installPostgres, err)
	default:
		return found, fmt.Errorf("%w; the embedded one could not be had either: %w", errNoPostgres, err)
	}
}

// installPostgres says how to get a PostgreSQL.
const installPostgres = "`apt-get install postgresql` (Debian, Ubuntu), " +
	"`dnf install postgresql-server postgresql-contrib` (Fedora, RHEL), `brew install postgresql@17` (macOS)"

// errNoPostgres says what to do where there is no PostgreSQL.
var errNoPostgres = errors.New("no PostgreSQL server on this machine (looked on PATH and in the usual folders, " +
	"such as /usr/lib/postgresql/*/bin): install it, e.g. " + installPostgres)

// findPostgres looks for installed binaries.
func findPostgres(ctx context.Context, opts Options) (postgresBinaries, error) {
	dirs := searchPath(opts.searchPath,
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/usr/local/bin", "/usr/bin",
		"/usr/libexec/postgresql*", "/opt/homebrew/opt/postgresql*/bin", "/opt/homebrew/bin", "/usr/local/opt/postgresql*/bin",
		"/opt/local/lib/postgresql*/bin", "/Applications/Postgres.app/Contents/Versions/*/bin")
	reasons := []error{errNoPostgres}
	for _, dir := range dirs {
		bin, ok := postgresFolder(dir)
		if !ok {
			continue
		}
		version, err := programVersion(ctx, filepath.Join(bin, "postgres"), "--version")
		if err != nil {
			reasons = append(reasons, err)
			continue
		}
		if major, _, _ := strings.Cut(version, "."); atoi(major) < oldestPostgres {
			reasons = append(reasons, fmt.Errorf("%s is PostgreSQL %s: want %d or later", bin, version, oldestPostgres))
			continue
		}
		return postgresBinaries{
			bin: bin, kind: "PostgreSQL " + version + " from " + bin, statements: hasStatements(ctx, bin),
		}, nil
	}
	return postgresBinaries{}, errors.Join(reasons...)
}

// postgresFolder returns the folder that holds both initdb and postgres: dir,
// or where dir's link leads to.
func postgresFolder(dir string) (string, bool) {
	candidates := []string{dir}
	if target, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres")); err == nil {
		candidates = []string{filepath.Dir(target), dir}
	}
	for _, candidate := range candidates {
		if isExecutable(filepath.Join(candidate, "postgres")) && isExecutable(filepath.Join(candidate, "initdb")) {
			return candidate, true
		}
	}
	return "", false
}

// hasStatements reports whether the library pg_stat_statements belongs to the
// binaries; a server told to load a missing library does not start.
func hasStatements(ctx context.Context, bin string) bool {
	root := filepath.Dir(bin)
	var dirs []string
	for _, lib := range []string{"lib", "lib64"} {
		for _, sub := range []string{"", "postgresql", "pgsql"} {
			dirs = append(dirs, filepath.Join(root, lib, sub))
		}
	}
	if out, err := exec.CommandContext(ctx, filepath.Join(bin, "pg_config"), "--pkglibdir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, dir := range dirs {
		for _, name := range []string{"pg_stat_statements.so", "pg_stat_statements.dylib"} {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				return true
			}
		}
	}
	return false
}

// atoi returns the number in text, or 0.
func atoi(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}
