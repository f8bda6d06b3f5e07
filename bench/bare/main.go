// Command bare is the least that can send load from Go: a loop over a client that
// records nothing of the answers but their number. What soakd takes beyond it is
// what schedule, checks and metrics cost.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// options are the flags.
type options struct {
	url, client string
	workers     int
	rate        float64
	duration    time.Duration
	body        string
}

// report is what is printed at the end; times are in microseconds.
type report struct {
	Requests int64   `json:"requests"`
	Errors   int64   `json:"errors"`
	Dropped  int64   `json:"dropped"`
	LagP50   float64 `json:"lag_p50,omitempty"`
	LagP99   float64 `json:"lag_p99,omitempty"`
}

// sender sends one request and returns its error.
type sender func() error

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var o options
	flags := flag.NewFlagSet("bare", flag.ContinueOnError)
	flags.StringVar(&o.url, "url", "", "where to POST to")
	flags.StringVar(&o.client, "client", "fasthttp", "fasthttp or nethttp")
	flags.IntVar(&o.workers, "workers", 32, "goroutines that send, each with one connection")
	flags.Float64Var(&o.rate, "rate", 0, "arrivals a second; 0 means that each worker sends without a pause")
	flags.DurationVar(&o.duration, "duration", 10*time.Second, "how long to send")
	flags.StringVar(&o.body, "body", "", "the file with the body")
	if err := flags.Parse(args); err != nil {
		return err
	}
	body, err := os.ReadFile(o.body)
	if err != nil {
		return fmt.Errorf("read the body: %w", err)
	}
	var senders func() sender
	switch o.client {
	case "fasthttp":
		senders = fastSenders(o, body)
	case "nethttp":
		senders = plainSenders(o, body)
	default:
		return fmt.Errorf("-client %q must be fasthttp or nethttp", o.client)
	}
	return json.NewEncoder(os.Stdout).Encode(o.send(senders))
}

func (o options) send(senders func() sender) report {
	if o.rate > 0 {
		return o.paced(senders)
	}
	return o.closed(senders)
}

// fastSenders returns what makes a worker's sender over fasthttp.
func fastSenders(o options, body []byte) func() sender {
	client := &fasthttp.Client{MaxConnsPerHost: o.workers, NoDefaultUserAgentHeader: true}
	return func() sender {
		request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		request.SetRequestURI(o.url)
		request.Header.SetMethod(fasthttp.MethodPost)
		request.Header.SetContentType("application/json")
		request.SetBodyRaw(body)
		return func() error {
			if err := client.Do(request, response); err != nil {
				return err
			}
			if response.StatusCode() != fasthttp.StatusOK {
				return errors.New("not 200")
			}
			return nil
		}
	}
}

// plainSenders returns what makes a worker's sender over net/http.
func plainSenders(o options, body []byte) func() sender {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: o.workers, MaxConnsPerHost: o.workers, DisableCompression: true}}
	text := string(body)
	return func() sender {
		return func() error {
			request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, o.url, strings.NewReader(text))
			if err != nil {
				return err
			}
			request.Header.Set("Content-Type", "application/json")
			response, err := client.Do(request)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, response.Body)
			if err := cmp.Or(err, response.Body.Close()); err != nil {
				return err
			}
			if response.StatusCode != http.StatusOK {
				return errors.New("not 200")
			}
			return nil
		}
	}
}

// closed lets each worker send its next request when the last was answered.
func (o options) closed(senders func() sender) report {
	var (
		requests, failed atomic.Int64
		workers          sync.WaitGroup
	)
	end := time.Now().Add(o.duration)
	for range o.workers {
		workers.Go(func() {
			send := senders()
			for time.Now().Before(end) {
				if send() != nil {
					failed.Add(1)
				}
				requests.Add(1)
			}
		})
	}
	workers.Wait()
	return report{Requests: requests.Load(), Errors: failed.Load()}
}

// paced hands arrival n over when it is due, floor(n * 10^9 / rate) ns after the
// start, with a plain sleep; the worker that takes it notes how late it was.
func (o options) paced(senders func() sender) report {
	total := int(o.rate * o.duration.Seconds())
	var (
		lags    = make([]time.Duration, total)
		failed  atomic.Int64
		workers sync.WaitGroup
		queue   = make(chan int, total)
		start   = time.Now()
	)
	due := func(n int) time.Duration { return time.Duration(float64(n) / o.rate * float64(time.Second)) }
	for range o.workers {
		workers.Go(func() {
			send := senders()
			for n := range queue {
				lags[n] = time.Since(start) - due(n)
				if send() != nil {
					failed.Add(1)
				}
			}
		})
	}
	for n := range total {
		time.Sleep(due(n) - time.Since(start))
		queue <- n
	}
	close(queue)
	workers.Wait()
	slices.Sort(lags)
	return report{
		Requests: int64(total), Errors: failed.Load(),
		LagP50: micros(lags[(total-1)/2]), LagP99: micros(lags[(total-1)*99/100]),
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
