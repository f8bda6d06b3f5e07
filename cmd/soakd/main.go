// Command soakd keeps steady mixed traffic on an HTTP API, watches the API, its
// Postgres and its Redis, and says in Prometheus metrics what it sees.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/common/version"
)

// The exit codes.
const (
	exitOK     = 0 // passed
	exitFailed = 1 // judged and failed
	exitUsage  = 2 // wrong use or configuration
	exitNotRun = 3 // could not run, or not judge
)

func main() {
	// `soakd demo | head` must not kill soakd, whose servers are to be stopped and
	// whose run goes on: a write to the closed pipe fails instead.
	signal.Ignore(syscall.SIGPIPE)
	// The first signal ends the run in good order; a second one ends the process.
	ctx, stop := signal.NotifyContext(context.Background(), endSignals()...)
	context.AfterFunc(ctx, func() { time.AfterFunc(sameSignal, stop) })
	err := run(ctx, os.Args[1:], output{os.Stdout}, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "soakd: %s\n", indent(err))
	}
	os.Exit(exitCode(err))
}

// sameSignal is for how long after the first signal others are taken for the same:
// timeout(1) sends its own to the process and then to the group, and CI servers to all at once.
const sameSignal = 300 * time.Millisecond

// endSignals are the signals that end a run. The terminal that is closed sends
// SIGHUP; started with nohup, soakd stays.
func endSignals() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// output is standard output. That nobody reads it any more fails nothing.
type output struct{ file *os.File }

// Write drops what cannot be written because the reader or the terminal has gone.
func (o output) Write(p []byte) (int, error) {
	n, err := o.file.Write(p)
	if errors.Is(err, syscall.EPIPE) || (errors.Is(err, syscall.EIO) && o.isTerminal()) {
		return len(p), nil
	}
	return n, err
}

// isTerminal tells the EIO of a terminal that was closed from that of a disk.
func (o output) isTerminal() bool {
	info, err := o.file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// failedError is a run or check that took place and did not pass: exit code 1.
type failedError struct{ err error }

func (e failedError) Error() string { return e.err.Error() }
func (e failedError) Unwrap() error { return e.err }

// exitCode maps an error to the exit code that design and README promise.
func exitCode(err error) int {
	var (
		usage  usageError
		failed failedError
	)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &failed):
		return exitFailed
	}
	return exitNotRun
}

// indent puts several mistakes on lines of their own.
func indent(err error) string {
	text := err.Error()
	if strings.Contains(text, "\n") {
		return "several things are wrong:\n  " + strings.ReplaceAll(text, "\n", "\n  ")
	}
	return text
}

// run does what the arguments ask for. Settings come from the environment of the
// process and from flags.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(stderr, help)
		return usageError{errors.New("no command given")}
	}
	switch name, rest := args[0], args[1:]; name {
	case "run":
		return runCommand(ctx, rest, stdout, stderr)
	case "demo":
		return demoCommand(ctx, rest, stdout, stderr)
	case "check":
		return checkCommand(ctx, rest, stdout, stderr)
	case "analyze":
		return analyzeCommand(ctx, rest, os.Stdin, stdout)
	case "history":
		return historyCommand(ctx, rest, os.Stdin, stdout)
	case "dashboards":
		return dashboardsCommand(ctx, rest, stdout, stderr)
	case "rules":
		return rulesCommand(ctx, rest, stdout, stderr)
	case referenceAPI:
		return referenceAPICommand(ctx, rest, stderr)
	case "version", "--version", "-version":
		_, err := fmt.Fprintln(stdout, version.Print("soakd"))
		return err
	case "help", "--help", "-help", "-h":
		_, err := io.WriteString(stdout, help)
		return err
	default:
		return usageError{fmt.Errorf("%q is not a command: use run, demo, check, analyze, dashboards, rules, history, version or help", name)}
	}
}

const help = `soakd keeps steady mixed traffic on an HTTP API and watches the API, its Postgres and its Redis.

  soakd demo      everything on this machine: private Postgres and Redis, a reference API, soakd against it
  soakd run       traffic, probes and /metrics against SOAKD_TARGET_URL until stopped, or for --duration
  soakd check     say what would run and reach every target; change nothing
  soakd analyze   judge and report results of Locust, k6, vegeta, JMeter or of soakd itself
  soakd dashboards --out DIR   write the Grafana dashboards that fit these settings
  soakd rules     print the Prometheus rules that fit them
  soakd history   what was: list and show runs, compare two, keep a baseline, export and import
  soakd version   say what was built

Settings are environment variables (SOAKD_RATE=50) or flags of the same name (--rate 50), which win.
'soakd run --help' lists them. Secrets are variables or files (SOAKD_JWT_SECRET_FILE), never flags.
Exit codes: 0 passed, 1 judged and failed, 2 wrong use or configuration, 3 could not run or not judge.
`

// printFlags lists the flags of a command. The package flag writes all of them with
// one dash, which does as well as the two that the documents have.
func printFlags(w io.Writer, flags *flag.FlagSet) {
	var b strings.Builder
	flags.SetOutput(&b)
	flags.PrintDefaults()
	_, _ = io.WriteString(w, longFlag.ReplaceAllString(b.String(), "  --$1")) // nobody reads: no mistake
}

// longFlag is where the name of a flag of more than a letter begins.
var longFlag = regexp.MustCompile(`(?m)^  -([a-zA-Z]{2})`)
