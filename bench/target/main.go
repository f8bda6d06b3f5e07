//go:build linux

// Command target is what the benchmark's tools send to: it answers every request
// with the same 2 KiB of JSON, at once, late by a known time, or not at all while
// it stalls, and keeps its own record of what arrived and how long it took.
//
// It prints three things on standard output: its address when it listens, the
// word first when the first request has arrived, and at SIGTERM its record as one
// line of JSON. The times of single requests go to the file of -record.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"soakd/bench/stall"
)

// record is what the target knows of a run.
type record struct {
	// Arrived counts complete requests, Answered the answers written, Gone the
	// answers whose connection was closed by then, Refused requests too large.
	Arrived     int64 `json:"arrived"`
	Answered    int64 `json:"answered"`
	Gone        int64 `json:"gone"`
	Refused     int64 `json:"refused"`
	Connections int64 `json:"connections"`
	// times holds pairs: when a request arrived since the start, and how long the
	// target held it, in ns. Beyond its capacity nothing is kept.
	times []int64
}

func (r *record) keep(at, held time.Duration) {
	if len(r.times)+2 <= cap(r.times) {
		r.times = append(r.times, int64(at), int64(held))
	}
}

// bodyBytes is the size of the answer's body.
const bodyBytes = 2 << 10

// answerText is the whole answer.
//
//nolint:gochecknoglobals // never changed; written a hundred thousand times a second
var answerText = makeAnswer()

func answerBytes() []byte { return answerText }

func makeAnswer() []byte {
	const head, tail = `{"result":"`, `"}`
	body := head + strings.Repeat("0123456789abcdef", bodyBytes/16)[:bodyBytes-len(head)-len(tail)] + tail
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// options are the flags.
type options struct {
	latency, median time.Duration
	sigma           float64
	seed            uint64
	pattern         stall.Pattern
	keep            int
	record          string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "target:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("target", flag.ContinueOnError)
	flags.DurationVar(&o.latency, "latency", 0, "answer this long after the arrival")
	flags.DurationVar(&o.median, "median", 0, "answer after a log-normal time with this median")
	flags.Float64Var(&o.sigma, "sigma", 0.5, "the standard deviation of its logarithm")
	flags.Uint64Var(&o.seed, "seed", 1, "the seed of the log-normal times")
	flags.DurationVar(&o.pattern.Period, "stall-period", 0, "stall once in this time; 0 means never")
	flags.DurationVar(&o.pattern.From, "stall-from", 0, "from this time of each period on")
	flags.DurationVar(&o.pattern.For, "stall-for", 0, "for this long")
	flags.IntVar(&o.keep, "keep", 0, "keep the times of so many requests")
	flags.StringVar(&o.record, "record", "", "the file that the times are written to at the end: pairs of 64-bit little-endian ns")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.latency < 0 || o.median < 0 || o.sigma < 0 || o.keep < 0 {
		return o, errors.New("a time, a deviation or a count is negative")
	}
	return o, nil
}

// answerAt returns when what arrived is answered, nil for at once.
func (o options) answerAt() func(time.Duration) time.Duration {
	rng := rand.New(rand.NewPCG(o.seed, 0))
	switch {
	case o.pattern.Period > 0:
		return o.pattern.End
	case o.median > 0:
		// exp(N(ln median, sigma^2)) is log-normal with that median.
		return func(at time.Duration) time.Duration {
			return at + time.Duration(float64(o.median)*math.Exp(o.sigma*rng.NormFloat64()))
		}
	case o.latency > 0:
		return func(at time.Duration) time.Duration { return at + o.latency }
	}
	return nil
}

func run(args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	s, err := newServer()
	if err != nil {
		return err
	}
	s.answerAt, s.record.times = o.answerAt(), make([]int64, 0, 2*o.keep)
	s.onFirst = func() { fmt.Println("first") }
	port, err := s.port()
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	defer context.AfterFunc(ctx, s.stop)()
	fmt.Printf("http://127.0.0.1:%d\n", port)
	if err := s.run(); err != nil {
		return err
	}
	if err := s.record.write(o.record); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(s.record)
}

// write puts the times into a file, when one is named.
func (r *record) write(path string) (err error) {
	if path == "" {
		return nil
	}
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	buffered := bufio.NewWriter(file)
	if err := binary.Write(buffered, binary.LittleEndian, r.times); err != nil {
		return fmt.Errorf("write the record to %s: %w", path, err)
	}
	return buffered.Flush()
}
