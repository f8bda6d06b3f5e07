package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"
)

// work is what the servers have to do: something of each kind that is measured
// once, some states that stay, and a trickle that goes on.
type work struct {
	conns   []*pgx.Conn
	clients []*goredis.Client
	// blocked ends the sessions that wait.
	unblock context.CancelFunc
	running sync.WaitGroup
	mu      sync.Mutex
	errs    []error
}

// startWork returns what must be stopped also when there is an error.
func startWork(ctx context.Context, s *stand) (*work, error) {
	w := &work{}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w.unblock = cancel
	if err := w.databaseWork(ctx, background, s); err != nil {
		return w, fmt.Errorf("give the database work: %w", err)
	}
	if err := w.cacheWork(ctx, background, s); err != nil {
		return w, fmt.Errorf("give the cache work: %w", err)
	}
	return w, nil
}

// stop ends all and returns what went wrong in the background.
func (w *work) stop() error {
	w.unblock()
	for _, client := range w.clients { // a BLPOP does not end with its context
		_ = client.Close()
	}
	w.running.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, conn := range w.conns {
		_ = conn.Close(ctx)
	}
	return errors.Join(w.errs...)
}

// trickle does something 50 times a second until ctx ends.
func (w *work) trickle(ctx context.Context, do func(i int) error) {
	w.running.Go(func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if err := do(i); err != nil {
				if ctx.Err() == nil {
					w.fail(err)
				}
				return
			}
		}
	})
}

func (w *work) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errs = append(w.errs, err)
}

// connect opens a session of an application in a database.
func (w *work) connect(ctx context.Context, address, application, database string) (*pgx.Conn, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	parsed.Path = "/" + database
	config, err := pgx.ParseConfig(parsed.String())
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["application_name"] = application
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	w.conns = append(w.conns, conn)
	return conn, nil
}

func execAll(ctx context.Context, conn *pgx.Conn, statements ...string) error {
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("%.60s: %w", statement, err)
		}
	}
	return nil
}

func (w *work) databaseWork(ctx, background context.Context, s *stand) error {
	sessions := map[string]*pgx.Conn{}
	for name, application := range map[string]string{"admin": "psql", "api": "api", "holder": "api", "worker": "worker", "stray": ""} {
		address := s.database.URL()
		if name == "admin" {
			address = s.database.AdminURL()
		}
		conn, err := w.connect(ctx, address.Value(), application, "app")
		if err != nil {
			return err
		}
		sessions[name] = conn
	}
	api := sessions["api"]
	if err := execAll(ctx, sessions["admin"], "SELECT pg_stat_reset()"); err != nil {
		return err
	}
	err := execAll(ctx, api,
		"CREATE TABLE orders (id int PRIMARY KEY, total numeric)", "INSERT INTO orders SELECT i, i FROM generate_series(1, 20000) AS i",
		"DELETE FROM orders WHERE id % 10 = 0", "SELECT count(*) FROM orders", "ANALYZE orders", "BEGIN; DELETE FROM orders; ROLLBACK",
		"SET work_mem = '64kB'", "SELECT count(*) FROM (SELECT total FROM orders ORDER BY total DESC, id) AS s", "RESET work_mem")
	if err != nil {
		return err
	}
	if err := w.deadlocks(ctx, s.database.URL().Value()); err != nil {
		return err
	}
	if err := execAll(ctx, sessions["admin"], "CHECKPOINT"); err != nil {
		return err
	}
	if err := w.holdLock(ctx, background, sessions["holder"], sessions["worker"], sessions["admin"]); err != nil {
		return err
	}
	shop, err := w.connect(ctx, s.database.URL().Value(), "api", "shop")
	if err != nil {
		return err
	}
	if err := execAll(ctx, shop, "CREATE TABLE baskets (id int)"); err != nil {
		return err
	}
	w.trickle(background, func(i int) error {
		end := "COMMIT"
		if i%10 == 0 {
			end = "ROLLBACK"
		}
		return errors.Join(execAll(background, shop, "INSERT INTO baskets VALUES (1)"),
			execAll(background, api, fmt.Sprintf("BEGIN; UPDATE orders SET total = total + 1 WHERE id = %d; SELECT count(*) FROM orders WHERE id < 100; %s", 1000+i%100, end)))
	})
	return nil
}

// deadlocks makes one in two sessions that leave: a session publishes its
// statistics at its end or when it is idle, and one that waits is never.
func (w *work) deadlocks(ctx context.Context, address string) error {
	a, errA := w.connect(ctx, address, "api", "app")
	b, errB := w.connect(ctx, address, "api", "app")
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	return errors.Join(deadlock(ctx, a, b), a.Close(ctx), b.Close(ctx))
}

// deadlock lets two sessions wait for one another; Postgres ends one of them.
func deadlock(ctx context.Context, a, b *pgx.Conn) error {
	if err := errors.Join(execAll(ctx, a, "BEGIN; UPDATE orders SET total = 1 WHERE id = 1"), execAll(ctx, b, "BEGIN; UPDATE orders SET total = 2 WHERE id = 2")); err != nil {
		return err
	}
	var other sync.WaitGroup
	var errB error
	other.Go(func() { errB = execAll(ctx, b, "UPDATE orders SET total = 2 WHERE id = 1") })
	errA := execAll(ctx, a, "UPDATE orders SET total = 1 WHERE id = 2")
	// The one that waits on is let go by the end of the other's transaction.
	if errA != nil {
		_ = execAll(ctx, a, "ROLLBACK")
	}
	other.Wait()
	if (errA == nil) == (errB == nil) {
		return fmt.Errorf("no deadlock: %w", errors.Join(errA, errB))
	}
	return errors.Join(execAll(ctx, a, "ROLLBACK"), execAll(ctx, b, "ROLLBACK"))
}

// holdLock leaves one session idle in a transaction and one that waits for it.
func (w *work) holdLock(ctx, background context.Context, holder, waiter, admin *pgx.Conn) error {
	if err := execAll(ctx, holder, "BEGIN; UPDATE orders SET total = 7 WHERE id = 7"); err != nil {
		return err
	}
	w.running.Go(func() { _ = execAll(background, waiter, "UPDATE orders SET total = 8 WHERE id = 7") })
	for {
		var waiting bool
		if err := admin.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").Scan(&waiting); err != nil || waiting {
			return err
		}
	}
}

func (w *work) client(address string, db int) (*goredis.Client, error) {
	options, err := goredis.ParseURL(address)
	if err != nil {
		return nil, err
	}
	options.DB, options.MaxRetries, options.DisableIdentity = db, -1, true
	client := goredis.NewClient(options)
	w.clients = append(w.clients, client)
	return client, nil
}

// settle waits until the replica has its copy, and saves to disk.
func settle(ctx context.Context, client *goredis.Client) error {
	until := func(section, text string) error {
		for {
			got, err := client.Info(ctx, section).Result()
			if err != nil || strings.Contains(got, text) {
				return err
			}
		}
	}
	return errors.Join(until("replication", "state=online"), client.BgSave(ctx).Err(), until("persistence", "rdb_bgsave_in_progress:0"))
}

// slowScript takes some tens of milliseconds: an entry of the slow log and of the
// latency monitor.
const slowScript = "local n = 0 for i = 1, 3000000 do n = n + i end return n"

func (w *work) cacheWork(ctx, background context.Context, s *stand) error {
	clients := make([]*goredis.Client, 5)
	for i, db := range []int{0, 1, 3, 0, 0} {
		var err error
		if clients[i], err = w.client(s.cache.URL().Value(), db); err != nil {
			return err
		}
	}
	api, blocked, subscriber := clients[0], clients[3], clients[4]
	for i := range 120 { // 12 MB into 8: some are evicted
		if err := api.Set(ctx, fmt.Sprint("page:", i), strings.Repeat("x", 100_000), time.Hour).Err(); err != nil {
			return err
		}
	}
	for i, client := range clients[:3] {
		if err := errors.Join(client.Set(ctx, "stays", i, 0).Err(), client.Set(ctx, "goes", i, 50*time.Millisecond).Err()); err != nil {
			return err
		}
	}
	_ = api.LPush(ctx, "stays", 1).Err()           // WRONGTYPE
	_ = api.Do(ctx, "NO_SUCH_COMMAND").Err()       // ERR
	_ = api.EvalSha(ctx, "0000", []string{}).Err() // NOSCRIPT
	if err := errors.Join(api.Eval(ctx, slowScript, nil).Err(), settle(ctx, api)); err != nil {
		return err
	}
	w.running.Go(func() { _ = blocked.BLPop(background, 0, "nothing").Err() })
	channel := subscriber.Subscribe(background, "news")
	if _, err := channel.Receive(ctx); err != nil {
		return err
	}
	w.running.Go(func() {
		<-background.Done()
		_ = channel.Close()
	})
	w.trickle(background, func(i int) error {
		missing := api.Get(background, fmt.Sprint("missing:", i)).Err()
		if errors.Is(missing, goredis.Nil) {
			missing = nil
		}
		_ = api.LPush(background, "stays", 1).Err() // WRONGTYPE
		return errors.Join(missing, api.Set(background, fmt.Sprint("new:", i), "x", 100*time.Millisecond).Err(), api.Get(background, "stays").Err())
	})
	return nil
}
