package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
)

// samplesPerChunk is what Prometheus aims at.
const samplesPerChunk = 120

// series is one time series: either value or whole is set.
type series struct {
	labels labels.Labels
	// value is that at a moment, in seconds since 1970; no value when ok is false.
	value func(seconds float64) (v float64, ok bool)
	// whole is a native histogram.
	whole func(seconds float64) *histogram.Histogram
}

// writeBlock writes the series from one moment to another (not included) as a
// block of a Prometheus and returns the number of samples. The series are sorted.
func writeBlock(ctx context.Context, dir string, all []series, from, to time.Time, step time.Duration) (int, error) {
	id, err := ulid.New(ulid.Timestamp(to), rand.Reader)
	if err != nil {
		return 0, err
	}
	block := filepath.Join(dir, id.String())
	if err := os.MkdirAll(block, 0o755); err != nil {
		return 0, err
	}
	stats, err := writeSeries(ctx, block, all, from, to, step)
	if err != nil {
		return 0, err
	}
	meta := tsdb.BlockMeta{
		ULID: id, MinTime: from.UnixMilli(), MaxTime: to.UnixMilli(), Version: 1, Stats: stats,
		Compaction: tsdb.BlockMetaCompaction{Level: 3, Sources: []ulid.ULID{id}},
	}
	text, err := json.MarshalIndent(meta, "", "\t")
	if err != nil {
		return 0, err
	}
	return int(stats.NumSamples), os.WriteFile(filepath.Join(block, "meta.json"), text, 0o600)
}

func writeSeries(ctx context.Context, block string, all []series, from, to time.Time, step time.Duration) (stats tsdb.BlockStats, err error) {
	data, err := chunks.NewWriter(filepath.Join(block, "chunks"))
	if err != nil {
		return stats, err
	}
	defer func() {
		if closing := data.Close(); err == nil {
			err = closing
		}
	}()
	table, err := index.NewWriter(ctx, filepath.Join(block, "index"))
	if err != nil {
		return stats, err
	}
	defer func() {
		if closing := table.Close(); err == nil {
			err = closing
		}
	}()
	for _, symbol := range symbols(all) {
		if err := table.AddSymbol(symbol); err != nil {
			return stats, err
		}
	}
	for _, s := range all {
		metas, samples, err := s.chunks(from, to, step)
		if err != nil {
			return stats, fmt.Errorf("%s: %w", s.labels, err)
		}
		if len(metas) == 0 {
			continue
		}
		if err := data.WriteChunks(metas...); err != nil {
			return stats, err
		}
		if err := table.AddSeries(storage.SeriesRef(stats.NumSeries), s.labels, metas...); err != nil {
			return stats, err
		}
		stats.NumSeries++
		stats.NumChunks += uint64(len(metas))
		stats.NumSamples += uint64(samples)
	}
	return stats, nil
}

// symbols are all strings in labels, sorted, as the index wants them first.
func symbols(all []series) []string {
	found := map[string]bool{}
	for _, s := range all {
		s.labels.Range(func(l labels.Label) { found[l.Name], found[l.Value] = true, true })
	}
	return slices.Sorted(maps.Keys(found))
}

// chunks are those of a series in a time. Each series is scraped at a moment of its
// own instance; all at the same, here.
func (s series) chunks(from, to time.Time, step time.Duration) (metas []chunks.Meta, samples int, err error) {
	end := to.UnixMilli()
	for t := from.UnixMilli(); t < end; {
		until := min(t+samplesPerChunk*step.Milliseconds(), end)
		meta, n, err := s.chunk(t, until, step.Milliseconds())
		if err != nil {
			return nil, 0, err
		}
		if n > 0 {
			metas, samples = append(metas, meta), samples+n
		}
		t = until
	}
	return metas, samples, nil
}

func (s series) chunk(from, until, step int64) (meta chunks.Meta, n int, err error) {
	chunk := chunkenc.Chunk(chunkenc.NewXORChunk())
	if s.whole != nil {
		chunk = chunkenc.NewHistogramChunk()
	}
	appender, err := chunk.Appender()
	if err != nil {
		return meta, 0, err
	}
	for t := from; t < until; t += step {
		if s.whole != nil {
			recoded, _, next, err := appender.AppendHistogram(nil, 0, t, s.whole(float64(t)/1000), true)
			if err != nil || recoded != nil {
				return meta, 0, fmt.Errorf("histogram of another shape at %d: %w", t, err)
			}
			appender = next
		} else {
			v, ok := s.value(float64(t) / 1000)
			if !ok {
				continue
			}
			appender.Append(0, t, v)
		}
		if n == 0 {
			meta.MinTime = t
		}
		meta.MaxTime = t
		n++
	}
	meta.Chunk = chunk
	return meta, n, nil
}
