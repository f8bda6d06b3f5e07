package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"soakd/internal/history"
	"soakd/internal/judge/window"
)

const historyHelp = `soakd history: what was, from the database of SOAKD_HISTORY_URL.

  soakd history list                       the runs, the latest first
  soakd history show RUN                   one run, what was found in it and what happened
  soakd history compare A B                whether B is worse than A: a run each, or baseline=NAME
  soakd history baseline list
  soakd history baseline set NAME RUN      keep what the target was like in a run, to compare with
  soakd history baseline remove NAME
  soakd history export FILE [RUN...]       write all, or these runs, as JSON Lines; packed for FILE.gz, - is standard output
  soakd history import FILE                add what an export holds; - is standard input

RUN is an id or its start, last, last-passed or version=VERSION (the last run with this version of the target).
compare ends with 0 for same and improved, 1 for worse, and 3 when there is too little to tell.

`

// historyCommand is `soakd history`.
func historyCommand(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	h := &historian{stdin: stdin, stdout: stdout, now: time.Now}
	words, err := h.read(args)
	if err != nil {
		return err
	}
	act, create, err := h.action(words)
	if err != nil {
		return usageError{err}
	}
	if h.settings.location.None() {
		return usageError{errors.New("SOAKD_HISTORY_URL: it is none, so there is no history")}
	}
	if h.store, err = h.settings.openHistory(ctx, !create); err != nil {
		return err
	}
	err = errors.Join(act(ctx), h.store.Close())
	if errors.Is(err, history.ErrNotFound) || errors.Is(err, history.ErrUnusable) {
		return usageError{err}
	}
	return err
}

// baselineName matches the names that a baseline may have.
var baselineName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// historian answers from the history.
type historian struct {
	settings historySettings
	store    *history.Store
	stdin    io.Reader
	stdout   io.Writer
	now      func() time.Time

	// The flags of the command.
	json             bool
	limit            int
	target, workload string
}

// read reads the settings and returns the words that are no flags, which may stand
// before, between and after them. Of soakd's settings only those of the history
// count, but none may be misspelt.
func (h *historian) read(args []string) ([]string, error) {
	settings := settingsOf(&h.settings)
	all := append(slices.Clone(settings), newConfig().settings()...)
	var errs []error
	for _, s := range settings {
		if err := s.decode(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.Name, err))
		}
	}
	errs = append(errs, unknownVariables(all, os.Environ())...)

	flags := flag.NewFlagSet("history", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {} // printed below, to standard output
	addFlags(flags, settings, &errs)
	flags.BoolVar(&h.json, "json", false, "print JSON instead of a table")
	flags.IntVar(&h.limit, "limit", 20, "how many runs or events at most; 0: all")
	flags.StringVar(&h.target, "target", "", "only what is of this target (its URL)")
	flags.StringVar(&h.workload, "workload", "", "only what is of this workload")
	var words []string
	for rest := args; len(rest) > 0; {
		err := flags.Parse(rest)
		if errors.Is(err, flag.ErrHelp) {
			_, _ = io.WriteString(h.stdout, historyHelp) // as printf
			fmt.Fprint(h.stdout, "Flags; those of settings are environment variables too, --history-url-file is SOAKD_HISTORY_URL_FILE:\n\n")
			printFlags(h.stdout, flags)
			return nil, err
		}
		if err != nil {
			return nil, usageError{fmt.Errorf("%w; see `soakd history --help`", err)}
		}
		if rest = flags.Args(); len(rest) > 0 {
			words, rest = append(words, rest[0]), rest[1:]
		}
	}
	var m mistakes
	h.settings.validate(&m)
	m.check(h.limit >= 0, "LIMIT: %d must be 0 (all) or more", h.limit)
	if err := errors.Join(append(errs, m...)...); err != nil {
		return nil, usageError{err}
	}
	return words, nil
}

// action returns what the words ask for, and whether the history is made when there
// is none.
func (h *historian) action(words []string) (act func(context.Context) error, create bool, err error) {
	if len(words) == 0 {
		return nil, false, errors.New("history needs a command: list, show, compare, baseline, export or import; see `soakd history --help`")
	}
	name, rest := words[0], words[1:]
	if name == "baseline" {
		if len(rest) == 0 {
			return nil, false, errors.New("history baseline needs a command: list, set or remove; see `soakd history --help`")
		}
		name, rest = name+" "+rest[0], rest[1:]
	}
	for _, one := range []struct {
		name, words string
		// least and most are how many words it takes.
		least, most int
		act         func(context.Context, []string) error
	}{
		{"list", "", 0, 0, h.list},
		{"show", "RUN", 1, 1, h.show},
		{"compare", "A B", 2, 2, h.compare},
		{"baseline list", "", 0, 0, h.baselineList},
		{"baseline set", "NAME RUN", 2, 2, h.baselineSet},
		{"baseline remove", "NAME", 1, 1, h.baselineRemove},
		{"export", "FILE [RUN...]", 1, 1000, h.exportTo},
		{"import", "FILE", 1, 1, h.importFrom},
	} {
		switch {
		case one.name != name:
		case len(rest) < one.least || len(rest) > one.most:
			return nil, false, fmt.Errorf("use: soakd history %s", strings.TrimSpace(name+" "+one.words))
		default:
			return func(ctx context.Context) error { return one.act(ctx, rest) }, name == "import", nil
		}
	}
	return nil, false, fmt.Errorf("%q is no command of history: use list, show, compare, baseline, export or import", name)
}

// exportTo writes a file, or standard output for "-".
func (h *historian) exportTo(ctx context.Context, words []string) error {
	options := history.ExportOptions{At: h.now()}
	for _, word := range words[1:] {
		run, err := h.findRun(ctx, word)
		if err != nil {
			return err
		}
		options.Runs = append(options.Runs, run.ID)
	}
	if words[0] == "-" {
		return h.store.Export(ctx, h.stdout, options)
	}
	return h.store.ExportFile(ctx, words[0], options)
}

// importFrom reads a file, or standard input for "-".
func (h *historian) importFrom(ctx context.Context, words []string) error {
	options := history.ImportOptions{CheckWindow: checkImported, CheckBaseline: checkProfile}
	var (
		imported history.Imported
		err      error
	)
	if words[0] == "-" {
		imported, err = h.store.Import(ctx, h.stdin, options)
	} else {
		imported, err = h.store.ImportFile(ctx, words[0], options)
	}
	if err != nil {
		return usageError{err}
	}
	h.printf("read %d runs, %d windows, %d findings, %d events, %d baselines\n", imported.Runs, imported.Windows, imported.Findings, imported.Events, imported.Baselines)
	return nil
}

// checkImported finds windows that are not what they are stored as.
func checkImported(stored history.Window) error {
	w, err := window.Decode(stored.Data)
	if err != nil {
		return err
	}
	if !w.Start.Equal(stored.Start) || w.Length != stored.Level {
		return fmt.Errorf("the window of %v of %v holds that of %v of %v", stored.Level, stored.Start, w.Length, w.Start)
	}
	return nil
}

func (h *historian) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(h.stdout, format, args...) // nobody reads: the exit code says it
}
