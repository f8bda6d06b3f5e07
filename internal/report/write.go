package report

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// output is one file of a report.
type output struct {
	name  string
	write func(io.Writer, *Run) error
}

// Options say what else is written.
type Options struct {
	// FullHistory has a row for each case in the history of Locust's files beside that
	// of all traffic, as --csv-full-history has it.
	FullHistory bool
	// Snapshot writes all metrics at the end of the run as OpenMetrics text, for
	// metrics.om; nil where there are none.
	Snapshot func(io.Writer) error
}

// outputs are the files that [Write] makes.
func outputs(o Options) []output {
	list := []output{
		{"report.json", JSON},
		{"report.md", Markdown},
		{"report.html", HTML},
		{"junit.xml", JUnit},
		{"metrics.txt", Metrics},
	}
	if o.Snapshot != nil {
		list = append(list, output{"metrics.om", func(w io.Writer, _ *Run) error { return o.Snapshot(w) }})
	}
	return append(list, locustOutputs("locust", o.FullHistory)...)
}

// Prepare makes the folder that [Write] is to write to, and proves that files can be
// written there, so that a run does not find out at its end. It leaves no file behind.
func Prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("the folder for reports %s cannot be made: %w; name one that can be made and written", dir, cause(err))
	}
	probe := filepath.Join(dir, ".soakd-"+rand.Text())
	err := fill(probe, func(w io.Writer) error {
		_, err := io.WriteString(w, "soakd proves that it can write here\n")
		return err
	})
	if err = errors.Join(err, os.Remove(probe)); err != nil {
		return fmt.Errorf("no report can be written to the folder %s: %w; name one that can be written, with space left", dir, cause(err))
	}
	return nil
}

// PrepareLocust is [Prepare] for the files of [WriteLocust].
func PrepareLocust(prefix string) error { return Prepare(filepath.Dir(prefix)) }

// Clear removes the files that [Write] makes, as an earlier run left them.
func Clear(dir string) error {
	return clearAll(dir, outputs(Options{Snapshot: func(io.Writer) error { return nil }}))
}

// ClearLocust removes the files that [WriteLocust] makes.
func ClearLocust(prefix string) error {
	return clearAll(filepath.Dir(prefix), locustOutputs(filepath.Base(prefix), false))
}

func clearAll(dir string, list []output) error {
	var failed []error
	for _, one := range list {
		path := filepath.Join(dir, one.name)
		if info, err := os.Lstat(path); err != nil || info.IsDir() {
			continue // not there, or none of these
		}
		if err := removed(path); err != nil {
			failed = append(failed, fmt.Errorf("remove the report %s of an earlier run: %w", path, cause(err)))
		}
	}
	return errors.Join(failed...)
}

// Write writes all reports of a run into a folder, which it makes where there is none:
// report.json, report.md, report.html, junit.xml, metrics.txt, perhaps metrics.om, and Locust's four
// CSV files with the prefix "locust". Each is written whole or not at all: one that cannot be leaves an
// older one as it was, and does not keep the others from being written. The error joins
// what failed, each with the file's name.
// written are the paths of those that were.
func Write(dir string, r *Run, o Options) (written []string, err error) {
	return writeAll(dir, outputs(o), r)
}

// WriteLocust writes Locust's four CSV files: prefix_stats.csv and so on. The prefix
// may hold folders, which are made. It fails as [Write] does.
func WriteLocust(prefix string, r *Run, o Options) (written []string, err error) {
	return writeAll(filepath.Dir(prefix), locustOutputs(filepath.Base(prefix), o.FullHistory), r)
}

func writeAll(dir string, list []output, r *Run) (written []string, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("make the folder for reports %s: %w", dir, cause(err))
	}
	var failed []error
	for _, one := range list {
		path := filepath.Join(dir, one.name)
		if err := replace(path, func(w io.Writer) error { return one.write(w, r) }); err != nil {
			failed = append(failed, fmt.Errorf("write %s: %w", path, explain(err)))
		} else {
			written = append(written, path)
		}
	}
	if err := syncFolder(dir); err != nil {
		failed = append(failed, fmt.Errorf("write the folder %s: %w", dir, explain(err)))
	}
	return written, errors.Join(failed...)
}

// replace puts a file in the place of another in one step: it is written beside it, is
// safe on the disk, and then takes the name.
func replace(path string, write func(io.Writer) error) error {
	dir, name := filepath.Split(path)
	draft := filepath.Join(dir, "."+name+"-"+rand.Text())
	if err := fill(draft, write); err != nil {
		return errors.Join(err, removed(draft))
	}
	if err := os.Rename(draft, path); err != nil {
		return errors.Join(err, removed(draft))
	}
	return nil
}

// removed removes a draft that may not have come to be.
func removed(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// fill makes a new file, with the rights that the umask leaves, and syncs it.
func fill(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	if err = write(w); err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncFolder makes the names of files last; a file system that cannot is no mistake.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err = f.Sync(); errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// cause leaves out the name of a file that only this package knows.
func cause(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}

// explain says what helps where that is known.
func explain(err error) error {
	err = cause(err)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: make room or name another folder", err)
	}
	return err
}
