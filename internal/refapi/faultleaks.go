package refapi

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// leakTick is how often a leak takes its share.
const leakTick = 100 * time.Millisecond

func leakFaults() []fault {
	return []fault{
		{
			name: "memory_leak", does: "keeps memory that it has written to, by time or by request",
			parameters: []parameter{
				word("slope", "how fast where no other figure is given: slow is 64 KiB/s (225 MiB/h), fast 1 MiB/s", "slow", "fast"),
				whole("bytes_per_second", 0, 0, 256<<20, "0: see slope"),
				whole("bytes_per_request", 0, 0, 16<<20, "if above 0, each request for an operation takes this, and time nothing unless bytes_per_second is given too"),
				whole("most_bytes", 1<<30, 1, 64<<30, "it stops there, so that the machine survives"),
			},
			start: leakMemory,
		},
		{
			name: "goroutine_leak", does: "starts goroutines that wait for ever",
			parameters: []parameter{figure("per_second", 10, 0, 10_000, "goroutines a second"), whole("most", 100_000, 1, 1_000_000, "it stops there")},
			start: func(_ context.Context, _ *API, s settings) (effect, error) {
				return effect{run: func(ctx context.Context) { leakGoroutines(ctx, s.number("per_second"), s.whole("most")) }}, nil
			},
		},
		{
			name: "file_leak", does: "opens files and does not close them",
			parameters: []parameter{
				figure("per_second", 1, 0, 1000, "files a second"),
				whole("most", 100_000, 1, 1_000_000, "it stops there; at the process's own limit it goes on trying, and connections are refused, so use `for`"),
			},
			start: func(_ context.Context, _ *API, s settings) (effect, error) {
				return effect{run: func(ctx context.Context) { leakFiles(ctx, s.number("per_second"), s.whole("most")) }}, nil
			},
		},
		{
			name: "connection_leak", does: "opens connections to Postgres, with the API's application_name, and gives none back",
			parameters: []parameter{
				figure("per_minute", 6, 0, 6000, "connections a minute"),
				whole("most", 1000, 1, 10_000, "it stops there; at the server's limit it goes on trying"),
				word("from", "own: beside the pool; pool: taken from it", "own", "pool"),
			},
			start: leakConnections,
		},
		{
			name: "pool_exhaustion", does: "holds connections of the API's own pool",
			parameters: []parameter{whole("connections", 0, 0, 10_000, "how many; 0: all but one; all of them: every use of Postgres ends with 503 after 5 s")},
			start:      exhaustPool,
		},
		{
			name: "gc_pauses", does: "stops the world in the garbage collector: a collection begins while a goroutine cannot be interrupted",
			parameters: []parameter{
				span("every", 2*time.Second, 10*time.Millisecond, time.Hour, "from the start of one pause to that of the next"),
				span("pause", 100*time.Millisecond, time.Millisecond, 2*time.Second, "about the length of a pause; needs two CPUs"),
			},
			start: func(_ context.Context, _ *API, s settings) (effect, error) {
				return effect{run: func(ctx context.Context) { pauseForGC(ctx, s.span("every"), s.span("pause")) }}, nil
			},
		},
	}
}

// accrue calls take with how many are due since the last call, perSecond of
// them a second and most altogether, until ctx ends.
func accrue(ctx context.Context, perSecond float64, most int64, take func(n int64)) {
	start, taken := time.Now(), int64(0)
	ticker := time.NewTicker(leakTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		due := min(int64(time.Since(start).Seconds()*perSecond), most)
		if due > taken {
			take(due - taken)
			taken = due
		}
	}
}

// hoard is memory that is kept.
type hoard struct {
	mu     sync.Mutex
	chunks [][]byte
	bytes  int64
	most   int64
	closed bool
}

// take keeps n bytes more, as far as that is allowed. They are written to, since
// the kernel gives a page of memory only to who does.
func (h *hoard) take(n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n = min(n, h.most-h.bytes)
	if n <= 0 || h.closed {
		return
	}
	const page = 4096
	chunk := make([]byte, n)
	for i := int64(0); i < n; i += page {
		chunk[i] = 1
	}
	h.chunks, h.bytes = append(h.chunks, chunk), h.bytes+n
}

// release gives everything back, to the operating system too.
func (h *hoard) release() {
	h.mu.Lock()
	h.chunks, h.closed = nil, true
	h.mu.Unlock()
	debug.FreeOSMemory()
}

func leakMemory(_ context.Context, _ *API, s settings) (effect, error) {
	const slow, fast = 64 << 10, 1 << 20 // bytes a second
	perRequest, perSecond := s.whole("bytes_per_request"), s.whole("bytes_per_second")
	switch {
	case perSecond > 0 || perRequest > 0:
	case s.word("slope") == "fast":
		perSecond = fast
	default:
		perSecond = slow
	}
	kept := &hoard{most: s.whole("most_bytes")}
	does := effect{run: func(ctx context.Context) {
		defer kept.release()
		accrue(ctx, float64(perSecond), kept.most, kept.take)
	}}
	if perRequest > 0 {
		does.arrive = func(*recorder, *http.Request, string) error {
			kept.take(perRequest)
			return nil
		}
	}
	return does, nil
}

func leakGoroutines(ctx context.Context, perSecond float64, most int64) {
	var waiting sync.WaitGroup
	accrue(ctx, perSecond, most, func(n int64) {
		for range n {
			waiting.Go(func() { <-ctx.Done() })
		}
	})
	waiting.Wait()
}

func leakFiles(ctx context.Context, perSecond float64, most int64) {
	var files []*os.File
	accrue(ctx, perSecond, most, func(n int64) {
		for range n {
			file, err := os.Open(os.DevNull)
			if err != nil {
				return // no more can be had now
			}
			files = append(files, file)
		}
	})
	for _, file := range files {
		_ = file.Close() // only read, and nothing of it
	}
}

// connectTimeout bounds the opening and closing of a fault's own connection.
const connectTimeout = 5 * time.Second

// connect opens a connection to Postgres beside the pool, like one of it.
func (s *store) connect(ctx context.Context) (*pgx.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(limited, s.pool.Config().ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("connect to postgres beside the pool: %w", err)
	}
	return conn, nil
}

// disconnect closes what connect opened.
func disconnect(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	_ = conn.Close(ctx) // it is given up in any case
}

func leakConnections(_ context.Context, a *API, s settings) (effect, error) {
	pooled := s.word("from") == "pool"
	return effect{run: func(ctx context.Context) {
		var giveBack []func()
		accrue(ctx, s.number("per_minute")/60, s.whole("most"), func(n int64) {
			for range n {
				if back := a.store.take(ctx, pooled); back != nil {
					giveBack = append(giveBack, back)
				}
			}
		})
		for _, back := range giveBack {
			back()
		}
	}}, nil
}

// take takes a connection of the pool or opens one beside it, and returns how it
// is given back; nil when there was none to have.
func (s *store) take(ctx context.Context, pooled bool) (giveBack func()) {
	if pooled {
		if conn, err := s.pool.Acquire(ctx); err == nil {
			return conn.Release
		}
		return nil
	}
	if conn, err := s.connect(ctx); err == nil {
		return func() { disconnect(conn) }
	}
	return nil
}

func exhaustPool(_ context.Context, a *API, s settings) (effect, error) {
	size := int64(a.config.PoolMaxConns)
	wanted := min(s.whole("connections"), size)
	if wanted == 0 {
		wanted = max(size-1, 1)
	}
	return effect{run: func(ctx context.Context) {
		var held []*pgxpool.Conn
		for int64(len(held)) < wanted && ctx.Err() == nil {
			conn, err := a.store.pool.Acquire(ctx)
			if err != nil { // Postgres is away; it may come back
				pause(ctx, connectRetry)
				continue
			}
			held = append(held, conn)
		}
		<-ctx.Done()
		for _, conn := range held {
			conn.Release()
		}
	}}, nil
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// pauseForGC makes pauses that are counted as the collector's. Go's own last for
// microseconds, however much memory lives (measured: 0.1 ms with 4 million live
// objects); but a collection stops every goroutine and then waits for one that
// cannot be interrupted, and code in assembly cannot: a hash over a large buffer.
// The wait counts as a pause (runtime/mgc.go adds the time since the stop began),
// and nothing else runs meanwhile.
func pauseForGC(ctx context.Context, every, length time.Duration) {
	buffer := make([]byte, hashedWithin(length))
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		var hashing sync.WaitGroup
		begun := make(chan struct{})
		hashing.Go(func() {
			close(begun)
			hash(buffer)
		})
		<-begun
		runtime.GC()
		hashing.Wait()
		select {
		case <-ctx.Done():
			buffer = nil
			debug.FreeOSMemory()
			return
		case <-ticker.C:
		}
	}
}
