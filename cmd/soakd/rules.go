package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"

	"soakd/internal/dashboards"
)

// rulesCommand is `soakd rules`: it writes the Prometheus rules that fit the
// configuration, to standard output or a file.
func rulesCommand(_ context.Context, args []string, stdout, _ io.Writer) error {
	var options fittingOptions
	settings, err := readFitting("rules", &options, func(flags *flag.FlagSet) {
		flags.StringVar(&options.out, "out", "", "file for the rules; empty: standard output")
		flags.StringVar(&options.grafanaURL, "dashboard-url", "", "address of Grafana, for the links in alerts; empty: SOAKD_GRAFANA_URL, and without it paths")
		flags.StringVar(&options.runbookURL, "runbook-url", "", "address of the page that holds docs/runbook.md, for the links in alerts; empty: paths")
	}, args, stdout)
	if err != nil {
		return err
	}
	content, err := dashboards.RulesYAML(settings.Rules())
	if err != nil {
		return err
	}
	if options.out == "" {
		if _, err := stdout.Write(content); err != nil {
			return fmt.Errorf("write the rules to standard output: %w", err)
		}
		return nil
	}
	place := options
	place.out = filepath.Dir(options.out)
	if err := foreignFiles(place, []string{filepath.Base(options.out)}, dashboards.IsRules); err != nil {
		return err
	}
	if err := writeWhole(options.out, content); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(stdout, options.out) // nobody reads: the file is there
	return nil
}
