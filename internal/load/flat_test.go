package load

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// instantConn is a connection to a target within the process that answers each
// request as soon as it was written.
type instantConn struct {
	mu     sync.Mutex
	answer []byte // of one request
	left   []byte
	ready  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func dialInstant(context.Context, string, string) (net.Conn, error) {
	return &instantConn{
		answer: []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 64\r\n\r\n" + strings.Repeat("x", 64)),
		ready:  make(chan struct{}, 1), closed: make(chan struct{}),
	}, nil
}

func (c *instantConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.left = c.answer
	c.mu.Unlock()
	select {
	case c.ready <- struct{}{}:
	default: // an earlier one was not needed
	}
	return len(p), nil
}

func (c *instantConn) Read(p []byte) (int, error) {
	for {
		c.mu.Lock()
		n := copy(p, c.left)
		c.left = c.left[n:]
		c.mu.Unlock()
		if n > 0 {
			return n, nil
		}
		select {
		case <-c.ready:
		case <-c.closed:
			return 0, io.EOF
		}
	}
}

func (c *instantConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// SyscallConn makes the engine write here as to a socket of the system, at once.
func (c *instantConn) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }

func (*instantConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*instantConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*instantConn) SetDeadline(time.Time) error      { return nil }
func (*instantConn) SetReadDeadline(time.Time) error  { return nil }
func (*instantConn) SetWriteDeadline(time.Time) error { return nil }

// memory is what a process holds at one moment.
type memory struct {
	heap       int64
	goroutines int
}

func liveMemory() memory {
	runtime.GC()
	runtime.GC()                                            // the first moves what pools hold to their victims, the second frees these
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}} // what the last collection marked
	metrics.Read(live)
	return memory{heap: int64(live[0].Value.Uint64()), goroutines: runtime.NumGoroutine()}
}

// soak runs an engine until so many requests have finished, and returns what the
// process held after the first early of them and at the end.
func soak(tb testing.TB, early, total int64, change func(*EngineConfig)) (before, after memory) {
	tb.Helper()
	cases := []*Case{testCase("one", 3), testCase("two", 1)}
	for _, c := range cases {
		path := "/" + c.Name
		c.Build = func(d Draw) (*Request, error) {
			r := d.NewRequest()
			r.Method, r.Path = "GET", path
			return r, nil
		}
	}
	workload := &Workload{Name: "flat", Cases: cases}
	mix, err := NewMix(workload, 20, 1)
	if err != nil {
		tb.Fatal(err)
	}
	client, err := NewClient(ClientConfig{
		Target: "http://target.test", UserAgent: "soakd/test", MaxResponseBytes: 1 << 16, Dial: dialInstant,
		Token: func(User, Credentials) (string, error) { return "t", nil },
	})
	if err != nil {
		tb.Fatal(err)
	}
	recorder := NewRecorder(workload, time.Now())
	ctx, cancel := context.WithCancel(tb.Context())
	defer cancel()
	counted := &countingSink{at: map[int64]func(){early: func() { before = liveMemory() }, total: func() {
		after = liveMemory()
		cancel()
	}}}
	cfg := EngineConfig{
		Mix: mix, Client: client, User: func(i int) User { return User{Index: i, ID: "u"} }, MaxInFlight: 32, MaxWaiting: 1000,
		Grace: time.Second, Sink: Sinks{recorder, counted}, Lag: recorder, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	change(&cfg)
	engine, err := NewEngine(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	engine.Run(ctx)
	checkAccountOf(tb, engine.Counts())
	if got := engine.Counts(); got.Finished < total || got.Incomplete() && got.TotalDropped() != got.Dropped[DropShutdown] {
		tb.Fatalf("want %d finished and nothing lost: %+v", total, got)
	}
	return before, after
}

func checkAccountOf(tb testing.TB, c Counts) {
	if c.Scheduled != c.Sent+c.Waiting+c.TotalDropped() || c.Sent != c.InFlight+c.Finished+c.Cut {
		tb.Errorf("the account does not add up: %+v", c)
	}
}

// countingSink calls a function when so many results have come.
type countingSink struct {
	n  atomic.Int64
	at map[int64]func()
}

func (c *countingSink) Done(*Result) {
	if f := c.at[c.n.Add(1)]; f != nil {
		f()
	}
}

// allowedGrowth is what the live heap may differ by: buffers of a pool, and what a
// core counts in once it takes part. One object of 16 bytes kept for each request
// would be four times as much.
const allowedGrowth = 1 << 20

// allowedGoroutines is by how many there may be more: those that live for a moment,
// as while a connection is made or the target's name looked up, may be there at one
// of the two moments and not at the other. One for each request would be 100 000.
const allowedGoroutines = 8

func checkFlat(tb testing.TB, before, after memory) {
	tb.Helper()
	if grown := after.heap - before.heap; grown > allowedGrowth {
		tb.Errorf("the live heap grew by %d bytes, from %d to %d", grown, before.heap, after.heap)
	}
	if after.goroutines > before.goroutines+allowedGoroutines {
		tb.Errorf("%d goroutines became %d", before.goroutines, after.goroutines)
	}
}

func TestMemoryIsFlatInClosedMode(t *testing.T) {
	before, after := soak(t, 20_000, 300_000, func(cfg *EngineConfig) { cfg.Closed = &ClosedConfig{Users: 8} })
	checkFlat(t, before, after)
}

// Two hours of an open loop at 20 a second, on a fake clock.
func TestMemoryIsFlatInTheOpenLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after := soak(t, 20_000, 144_000, func(cfg *EngineConfig) { cfg.Arrivals = steady(t, "20") })
		checkFlat(t, before, after)
	})
}

// BenchmarkFlat sends 10^8 requests and reports how the live heap and the
// goroutines differ from those after the first 10^5:
//
//	go test ./internal/load -run xxx -bench Flat -benchtime 1x -timeout 1h
func BenchmarkFlat(b *testing.B) {
	for b.Loop() {
		before, after := soak(b, 100_000, 100_000_000, func(cfg *EngineConfig) { cfg.Closed = &ClosedConfig{Users: 8} })
		checkFlat(b, before, after)
		b.ReportMetric(float64(after.heap-before.heap), "heap-growth-B")
		b.ReportMetric(float64(after.goroutines-before.goroutines), "goroutine-growth")
		b.ReportMetric(float64(before.heap), "heap-B")
	}
}

// What a request costs on the heap: everything of it is used again.
func TestARequestAllocatesNextToNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("pools drop things at random under the race detector")
	}
	var start, end runtime.MemStats
	counted := &countingSink{at: map[int64]func(){10_000: func() { runtime.ReadMemStats(&start) }, 110_000: func() { runtime.ReadMemStats(&end) }}}
	soak(t, 1, 120_000, func(cfg *EngineConfig) {
		cfg.Closed = &ClosedConfig{Users: 1}
		cfg.Sink = append(cfg.Sink.(Sinks), counted)
	})
	if per := float64(end.Mallocs-start.Mallocs) / 100_000; per > 0.5 {
		t.Errorf("%.2f allocations a request", per)
	}
}
