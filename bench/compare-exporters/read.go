package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"soakd/internal/probes"
)

// read polls soakd, the exporter, and soakd again, as often as there are rounds.
func (s side) read(ctx context.Context, p plan) ([]round, error) {
	var all []round
	ticker := time.NewTicker(p.pause)
	defer ticker.Stop()
	for {
		one, text, err := s.readOnce(ctx)
		if err != nil {
			return nil, err
		}
		if p.dump != "" {
			if err := s.dump(p.dump, text, one.after); err != nil {
				return nil, err
			}
		}
		if all = append(all, one); len(all) >= p.rounds {
			return all, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ticker.C:
		}
	}
}

func (s side) readOnce(ctx context.Context) (one round, text []byte, err error) {
	if one.before, err = s.poll(ctx); err != nil {
		return one, nil, err
	}
	if text, err = scrape(ctx, s.exporter); err != nil {
		return one, nil, err
	}
	if one.theirs, err = parseExposition(bytes.NewReader(text)); err != nil {
		return one, nil, fmt.Errorf("metrics of the exporter: %w", err)
	}
	one.after, err = s.poll(ctx)
	return one, text, err
}

// poll reads the server with soakd's probe. That it went well is a value too, as
// package exporter gives it.
func (s side) poll(ctx context.Context) ([]series, error) {
	reading, err := s.probe.Poll(ctx)
	if err != nil {
		return nil, fmt.Errorf("soakd's probe %s: %w", s.probe.Name(), err)
	}
	success := series{"soakd_probe_success", map[string]string{"probe": s.probe.Name()}, 1}
	return append(ofReading(reading), success), nil
}

// dump writes what both read into files.
func (s side) dump(dir string, theirs []byte, ours []series) error {
	var text bytes.Buffer
	for _, one := range ours {
		fmt.Fprintf(&text, "%s %v\n", selector{one.name, one.labels}, one.value)
	}
	name := filepath.Join(dir, probes.KindOf(s.probe.Name()))
	if err := os.WriteFile(name+"-exporter.txt", theirs, 0o600); err != nil {
		return err
	}
	return os.WriteFile(name+"-soakd.txt", text.Bytes(), 0o600)
}
