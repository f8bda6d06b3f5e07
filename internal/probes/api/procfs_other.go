//go:build !linux

package api

import (
	"errors"
	"log/slog"

	"soakd/internal/probes"
)

// localSourcesMissing says why processes and control groups cannot be read here.
func localSourcesMissing() error { return errors.New("can be read on Linux only") }

// newProcessSource is never reached: Validate has refused.
func newProcessSource(processTarget, map[string]*probes.Desc, localMetrics, *slog.Logger) (source, error) {
	return nil, localSourcesMissing()
}
