package main

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// scripts are what the tools that are programmed run.
//
//go:embed scripts
var scripts embed.FS

// writeScript puts a script into the run's folder and returns its path.
func writeScript(p place, name string) (string, error) {
	text, err := scripts.ReadFile("scripts/" + name)
	if err != nil {
		return "", err
	}
	path := filepath.Join(p.scratch, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("write a script: %w", err)
	}
	return path, nil
}

// lastJSON reads a claim from the last line of the output.
func lastJSON(_ string, _ place, stdout []byte) (claim, error) {
	lines := bytes.Split(bytes.TrimSpace(stdout), []byte("\n"))
	var c claim
	if err := json.Unmarshal(lines[len(lines)-1], &c); err != nil {
		return c, fmt.Errorf("its last line is not JSON: %w", err)
	}
	return c, nil
}

func parseBombardier(_ string, _ place, stdout []byte) (claim, error) {
	var out struct {
		Result struct {
			Req1xx, Req2xx, Req3xx, Req4xx, Req5xx, Others int64
			Latency                                        struct {
				Percentiles map[string]float64
			}
		}
	}
	if err := json.Unmarshal(stdout, &out); err != nil {
		return claim{}, fmt.Errorf("its output is not JSON: %w", err)
	}
	r := out.Result
	failed := r.Req1xx + r.Req3xx + r.Req4xx + r.Req5xx + r.Others
	// It gives no quantile above 99 %.
	return claim{Requests: r.Req2xx + failed, Errors: failed, times: times{P50: r.Latency.Percentiles["50"], P99: r.Latency.Percentiles["99"]}}, nil
}

func parseFortio(_ string, p place, _ []byte) (claim, error) {
	var out struct {
		DurationHistogram struct {
			Count       int64
			Percentiles []struct{ Percentile, Value float64 }
		}
		RetCodes map[string]int64
	}
	if err := readJSON(filepath.Join(p.scratch, "fortio.json"), &out); err != nil {
		return claim{}, err
	}
	c := claim{Requests: out.DurationHistogram.Count}
	c.Errors = c.Requests - out.RetCodes["200"]
	for _, at := range out.DurationHistogram.Percentiles {
		value := at.Value * 1e6 // s to us
		switch at.Percentile {
		case 50:
			c.P50 = value
		case 95:
			c.P95 = value
		case 99:
			c.P99 = value
		case 99.9:
			c.P999 = value
		}
	}
	return c, nil
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read what it saw: %w", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read what it saw from %s: %w", path, err)
	}
	return nil
}

// parseVegeta lets vegeta itself turn its results into CSV: its reports have no
// quantile above 99 %.
func parseVegeta(program string, p place, _ []byte) (claim, error) {
	encode := exec.CommandContext(context.Background(), program, "encode", "-to", "csv", filepath.Join(p.scratch, "vegeta.bin")) // it ends with its input
	out, err := encode.StdoutPipe()
	if err != nil {
		return claim{}, fmt.Errorf("vegeta encode: %w", err)
	}
	if err := encode.Start(); err != nil {
		return claim{}, fmt.Errorf("vegeta encode: %w", err)
	}
	c, err := vegetaCSV(bufio.NewReaderSize(out, 1<<20))
	if err != nil {
		_, _ = io.Copy(io.Discard, out) // so that it ends
	}
	if ended := encode.Wait(); ended != nil && err == nil {
		err = fmt.Errorf("vegeta encode: %w", ended)
	}
	return c, err
}

// vegetaCSV reads vegeta's CSV: 1 is the status, 2 the latency in ns.
func vegetaCSV(r io.Reader) (claim, error) {
	rows := csv.NewReader(r)
	rows.ReuseRecord, rows.FieldsPerRecord = true, -1
	var (
		c         claim
		latencies []time.Duration
	)
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return c, fmt.Errorf("vegeta's CSV: %w", err)
		}
		if len(row) < 3 {
			return c, fmt.Errorf("vegeta's CSV: a row has %d columns, not the status and the latency", len(row))
		}
		ns, err := strconv.ParseInt(row[2], 10, 64)
		if err != nil {
			return c, fmt.Errorf("vegeta's CSV: the latency: %w", err)
		}
		c.Requests++
		if row[1] != "200" {
			c.Errors++
		}
		latencies = append(latencies, time.Duration(ns))
	}
	slices.Sort(latencies)
	c.times = timesOf(latencies)
	return c, nil
}

func parseK6(_ string, p place, _ []byte) (claim, error) {
	var out map[string]struct{ Values map[string]float64 }
	if err := readJSON(filepath.Join(p.scratch, "k6.json"), &out); err != nil {
		return claim{}, err
	}
	duration := out["http_req_duration"].Values // ms
	return claim{
		Requests: int64(out["http_reqs"].Values["count"]),
		// Of a rate, passes counts the requests that failed.
		Errors:  int64(out["http_req_failed"].Values["passes"]),
		Dropped: int64(out["dropped_iterations"].Values["count"]),
		times:   times{P50: duration["med"] * 1e3, P95: duration["p(95)"] * 1e3, P99: duration["p(99)"] * 1e3, P999: duration["p(99.9)"] * 1e3},
	}, nil
}

func parseLocust(_ string, p place, _ []byte) (claim, error) {
	var c claim
	err := readJSON(filepath.Join(p.scratch, "locust.json"), &c)
	return c, err
}
