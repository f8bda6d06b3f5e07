package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"soakd/internal/dashboards"
)

// dashboardsCommand is `soakd dashboards`: it writes the Grafana dashboards that
// fit the configuration.
func dashboardsCommand(_ context.Context, args []string, stdout, _ io.Writer) error {
	var options fittingOptions
	settings, err := readFitting("dashboards", &options, func(flags *flag.FlagSet) {
		flags.StringVar(&options.out, "out", "", "folder for the dashboards, which is made where it is missing; required")
		flags.StringVar(&options.dataSource, "datasource", "", "UID of Grafana's Prometheus that the dashboards choose at first; empty: Grafana's default one")
	}, args, stdout)
	if err != nil {
		return err
	}
	if options.out == "" {
		return usageError{errors.New("--out: not set; give the folder that Grafana's provisioning reads, such as --out /var/lib/grafana/dashboards/soakd")}
	}
	files := map[string][]byte{}
	var names []string
	for _, d := range settings.All() {
		content, err := d.JSON()
		if err != nil {
			return err
		}
		files[d.File] = content
		names = append(names, d.File)
	}
	if err := foreignFiles(options, names, dashboards.IsDashboard); err != nil {
		return err
	}
	if err := os.MkdirAll(options.out, 0o755); err != nil { //nolint:gosec // read by Grafana, another user
		return fmt.Errorf("make the folder of --out: %w", err)
	}
	for _, name := range names {
		path := filepath.Join(options.out, name)
		if err := writeWhole(path, files[name]); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(stdout, path) // nobody reads: the files are there
	}
	return outdated(options.out, files, stdout)
}

// foreignFiles refuses to overwrite files in the folder of --out that soakd has not
// written, and, even with --force, what is no file: a device such as /dev/full has no
// end, a pipe may never have one, and a new file would take the place of either.
func foreignFiles(options fittingOptions, names []string, own func([]byte) bool) error {
	var errs []error
	for _, name := range names {
		path := filepath.Join(options.out, name)
		regular, err := isFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && !regular {
			errs = append(errs, fmt.Errorf("--out: %s is there and is no file: give another place", path))
			continue
		}
		if options.force {
			continue
		}
		var content []byte
		if err == nil {
			content, err = os.ReadFile(path) //nolint:gosec // the place that was given
		}
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("--out: %w", err))
		case !own(content):
			errs = append(errs, fmt.Errorf("--out: %s is there and was not written by soakd: give another place, or --force", path))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return usageError{err}
	}
	return nil
}

// isFile reports whether a path is that of a regular file, or of a link to one.
func isFile(path string) (bool, error) {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular(), err
}

// outdated says which dashboards of soakd in the folder do not fit any more.
// Nothing is removed: another soakd may have written them.
func outdated(folder string, files map[string][]byte, stdout io.Writer) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("look through the folder of --out: %w", err)
	}
	for _, entry := range entries {
		if files[entry.Name()] != nil || entry.IsDir() || !strings.HasSuffix(entry.Name(), ".json") {
			continue
		}
		path := filepath.Join(folder, entry.Name())
		if regular, err := isFile(path); err != nil || !regular {
			continue
		}
		if content, err := os.ReadFile(path); err == nil && dashboards.IsDashboard(content) { //nolint:gosec // in the folder that was given
			_, _ = fmt.Fprintf(stdout, "%s is of soakd and not of this configuration: remove it if nobody else needs it\n", path)
		}
	}
	return nil
}

// writeWhole writes a file in one step, so that Grafana and Prometheus never read
// half of it. Others may read it.
func writeWhole(path string, content []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".soakd-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(file.Name())))
		}
	}()
	_, writing := file.Write(content)
	if wrong := errors.Join(writing, file.Chmod(0o644), file.Close()); wrong != nil {
		return wrong
	}
	return os.Rename(file.Name(), path)
}
