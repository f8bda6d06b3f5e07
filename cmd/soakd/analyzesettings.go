package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"soakd/internal/judge/threshold"
	"soakd/internal/judge/window"
	"soakd/internal/report"
	"soakd/internal/results"
)

const analyzeHelp = `soakd analyze: judges and reports what another tool measured, or soakd itself before.

  soakd analyze --csv PREFIX               Locust's files: PREFIX_stats.csv and what is beside it
  soakd analyze FILE                       k6 (--out csv=, --out json=, a summary), vegeta (gob, CSV, JSON), JMeter (CSV),
                                           soakd's report.json; packed with gzip or not, - is standard input
  soakd analyze FILE --against EARLIER     whether it is worse than an earlier result: a file, or a prefix of Locust's

What is there is judged by --threshold, as soakd run does: over the whole and over the worst window. Ends with 0 for passed,
1 for failed, 2 for files that cannot be read as results, and 3 when nothing was judged, or not for certain.

--thresholds, --threshold-window, --baseline and --history-... are environment variables too (SOAKD_THRESHOLDS), as for
soakd run; the history itself is SOAKD_HISTORY_URL. The others are flags alone: SOAKD_CSV, SOAKD_OUT and SOAKD_WARM_UP are of a run.

`

// analyzeSettings are the settings of soakd that count for `soakd analyze`.
type analyzeSettings struct {
	historySettings

	Thresholds      threshold.List `envconfig:"THRESHOLDS" desc:"Limits that the results must keep, separated by semicolons: rate>=50; error_rate<=1%; p95{case=forecast}<=300ms."`
	ThresholdWindow time.Duration  `envconfig:"THRESHOLD_WINDOW" default:"30s" desc:"Length of the windows of which the worst has to keep the thresholds, whole tens of seconds from 10s to 1h."`
	Baseline        string         `envconfig:"BASELINE" desc:"What soakd's own report is compared with in the history: a name, last-passed or version=VERSION."`
}

// analyzeOptions are what `soakd analyze` was asked for.
type analyzeOptions struct {
	analyzeSettings

	// file is the result, prefix that of Locust's files; one of them is "".
	file, prefix string
	format       results.Format
	// against is an earlier result, a file or a prefix; "" for none.
	against string
	out     string
	warmUp  time.Duration
	// target names the target where the files do not.
	target string
	json   bool
	// schema asks for nothing but the schema of report.json.
	schema bool
}

// readAnalyzeOptions reads the arguments. Of soakd's settings only few count, but none may be
// misspelt.
func readAnalyzeOptions(args []string, stdout io.Writer) (*analyzeOptions, error) {
	o := &analyzeOptions{}
	settings := settingsOf(&o.analyzeSettings)
	var errs []error
	for _, s := range settings {
		if err := s.decode(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.Name, err))
		}
	}
	all := append(slices.Clone(settings), newConfig().settings()...)
	errs = append(errs, unknownVariables(all, os.Environ())...)

	flags := flag.NewFlagSet("analyze", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {} // printed below, to standard output
	addFlags(flags, settings, &errs)
	add := addAliases(flags, settings, &errs)
	o.addFlags(flags)
	words, err := parseAround(flags, args)
	add()
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(stdout, analyzeHelp) // nobody reads: no mistake
		printFlags(stdout, flags)
		return nil, err
	case err != nil:
		return nil, usageError{fmt.Errorf("%w; see `soakd analyze --help`", err)}
	}
	if o.schema {
		if _, err := io.WriteString(stdout, report.Schema()); err != nil {
			return nil, err
		}
		return nil, flag.ErrHelp
	}
	errs = append(errs, o.validate(words)...)
	if err := errors.Join(errs...); err != nil {
		return nil, usageError{err}
	}
	return o, nil
}

// addFlags adds the flags that are no settings.
func (o *analyzeOptions) addFlags(flags *flag.FlagSet) {
	flags.StringVar(&o.prefix, "csv", "", "the prefix of Locust's files, as Locust was given it")
	flags.StringVar((*string)(&o.format), "format", "", "what the file holds: "+formatNames()+"; empty: by its content")
	flags.StringVar(&o.against, "against", "", "an earlier result to compare with: a file, or the prefix of Locust's files")
	flags.StringVar(&o.out, "out", "", "folder for the reports; empty: none are written")
	flags.DurationVar(&o.warmUp, "warm-up", 0, "how much of the start is left out, as far as the files tell windows of time")
	flags.StringVar(&o.target, "target-url", "", "the target, for reports, where the files do not name it; nothing is sent there")
	flags.StringVar(&o.target, "host", "", "as Locust's: --target-url")
	flags.BoolVar(&o.json, "json", false, "print report.json instead of a table")
	flags.BoolVar(&o.schema, "schema", false, "print the JSON schema of report.json, and do nothing else")
}

func formatNames() string {
	var names []string
	for _, one := range results.Formats() {
		names = append(names, string(one))
	}
	return strings.Join(names, ", ")
}

// parseAround parses flags that may stand before, between and after words, and returns
// the words.
func parseAround(flags *flag.FlagSet, args []string) (words []string, err error) {
	for rest := args; len(rest) > 0; {
		if err := flags.Parse(rest); err != nil {
			return nil, err
		}
		if rest = flags.Args(); len(rest) > 0 {
			words, rest = append(words, rest[0]), rest[1:]
		}
	}
	return words, nil
}

// validate returns what is wrong with the options.
func (o *analyzeOptions) validate(words []string) []error {
	var m mistakes
	o.historySettings.validate(&m)
	m.check(o.ThresholdWindow >= window.Short && o.ThresholdWindow <= time.Hour && o.ThresholdWindow%window.Short == 0,
		"THRESHOLD_WINDOW: %v must be whole tens of seconds from 10s to 1h", o.ThresholdWindow)
	errs := []error(m)
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	if len(words) > 0 {
		o.file = words[0]
	}
	check(len(words) <= 1, "%q: only one file is analyzed; an earlier one to compare with is --against", strings.Join(words, " "))
	check((o.file == "") != (o.prefix == ""), "analyze needs a FILE or --csv PREFIX, and not both; see `soakd analyze --help`")
	check(o.format == "" || slices.Contains(results.Formats(), o.format), "--format: %q must be one of %s", o.format, formatNames())
	check(o.format == "" || o.prefix == "", "--format: --csv is always Locust's")
	check(o.warmUp >= 0, "--warm-up: %v must be 0s or more", o.warmUp)
	check(o.against == "" || o.Baseline == "", "--against and --baseline (SOAKD_BASELINE): give one, to compare with a file or with the history")
	check(o.file != stdinName || o.against != stdinName, "--against: standard input is the result itself")
	if o.target != "" {
		u, err := url.Parse(o.target)
		check(err == nil && u.Host != "", "--target-url: it must be a URL such as http://api.example:8000")
		if err == nil {
			o.target = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
		}
	}
	return errs
}
