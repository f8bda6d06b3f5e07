// Command blocks writes weeks of data of several soakds straight into the blocks
// of a Prometheus, from one page of metrics of a real one. It is in a module of its
// own because it needs Prometheus' storage.
//
// What it writes is what `promtool tsdb create-blocks-from openmetrics` makes of
// the same samples, but that reads text: two weeks at a scrape each 15 s are
// half a billion lines, and native histograms cannot be written in it at all.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// plan is what is written.
type plan struct {
	page, recordings, out string
	instances, cases      int
	native                bool
	// begin and end are the ends of the data, step the time between samples.
	begin, end time.Time
	step       time.Duration
}

// blockRange is that of the blocks which Prometheus makes of two weeks in the end:
// three times three of two hours. https://prometheus.io/docs/prometheus/latest/storage/#compaction
const blockRange = 18 * time.Hour

func main() {
	var p plan
	var span time.Duration
	var end int64
	flag.StringVar(&p.page, "page", "", "file with a page of metrics of soakd, as text")
	flag.StringVar(&p.recordings, "recordings", "", "instead of a page: file with the recordings at coarse steps, as answers of Prometheus")
	flag.StringVar(&p.out, "out", "", "folder of the storage")
	flag.IntVar(&p.instances, "instances", 3, "number of soakds")
	flag.IntVar(&p.cases, "cases", 40, "number of cases of each")
	flag.BoolVar(&p.native, "native", false, "write histograms as native ones")
	flag.DurationVar(&span, "span", 14*24*time.Hour, "time the data spans")
	flag.DurationVar(&p.step, "step", 15*time.Second, "time between two samples")
	flag.Int64Var(&end, "end", time.Now().Unix(), "end of the data, in seconds since 1970")
	flag.Parse()
	p.end = time.Unix(end, 0)
	p.begin = p.end.Add(-span)
	if err := p.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "blocks:", err)
		os.Exit(1)
	}
}

func (p plan) run(ctx context.Context) error {
	all, err := p.series()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Clean(p.out), 0o755); err != nil {
		return fmt.Errorf("make the folder of the storage: %w", err)
	}
	started, samples, blocks := time.Now(), 0, 0
	for from := p.begin; from.Before(p.end); {
		to := from.Truncate(blockRange).Add(blockRange)
		if to.After(p.end) {
			to = p.end
		}
		written, err := writeBlock(ctx, p.out, all, from, to, p.step)
		if err != nil {
			return fmt.Errorf("write the block from %s: %w", from.UTC().Format(time.RFC3339), err)
		}
		from, samples, blocks = to, samples+written, blocks+1
	}
	fmt.Printf("%d series, %d samples in %d blocks in %v\n", len(all), samples, blocks, time.Since(started).Round(time.Second))
	return nil
}

func (p plan) series() ([]series, error) {
	if p.recordings != "" {
		return readRecordings(p.recordings)
	}
	return p.readPage()
}
