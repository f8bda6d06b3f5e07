package drills

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"soakd/internal/localservices"
)

// mostConnections are max_connections of the Postgres that comes to harm, and
// reserved those of them for superusers.
const (
	mostConnections = 43
	reserved        = 3
)

// stores are a Postgres with a replica and a Redis that are watched and come to harm.
type stores struct {
	postgres, replica *localservices.Postgres
	redis             *localservices.Redis

	// Connections as superuser: they are there from the start on, so that a drill
	// that takes connections knows how many are left.
	holder, waiter, first, second, clerk, onReplica *pgx.Conn
	filling                                         []*pgx.Conn
	client                                          *redis.Client

	snatching func() // ends it

	astray  atomic.Bool // whether keys are looked up that nobody wrote
	work    sync.WaitGroup
	endWork context.CancelFunc
}

func (s *stores) start(ctx context.Context) error {
	var work sync.WaitGroup
	var errs [2]error
	work.Go(func() {
		s.postgres, errs[0] = localservices.StartPostgres(ctx, localservices.Options{Settings: map[string]string{"max_connections": strconv.Itoa(mostConnections)}})
		if errs[0] == nil {
			s.replica, errs[0] = localservices.StartPostgresReplica(ctx, s.postgres, localservices.Options{})
		}
	})
	work.Go(func() { s.redis, errs[1] = localservices.StartRedis(ctx, localservices.Options{MaxMemory: "16mb"}) })
	work.Wait()
	return errors.Join(errs[:]...)
}

// connect makes the connections of the drills and begins what goes on all the time.
func (s *stores) connect(ctx context.Context) error {
	var err error
	if s.onReplica, err = pgx.Connect(ctx, s.replica.AdminURL().Value()); err != nil {
		return err
	}
	for _, c := range []**pgx.Conn{&s.holder, &s.waiter, &s.first, &s.second, &s.clerk} {
		if *c, err = pgx.Connect(ctx, s.postgres.AdminURL().Value()); err != nil {
			return err
		}
	}
	for _, table := range []string{"held", "one", "two", "ledger"} {
		if _, err := s.clerk.Exec(ctx, "CREATE TABLE "+table+" (n int)"); err != nil {
			return err
		}
	}
	options, err := redis.ParseURL(s.redis.URL().Value())
	if err != nil {
		return err
	}
	s.client = redis.NewClient(options)
	if err := s.client.Set(ctx, "known", "1", 0).Err(); err != nil {
		return err
	}
	working, end := context.WithCancel(context.WithoutCancel(ctx))
	s.endWork = end
	s.work.Go(func() { s.lookUp(working) })
	s.work.Go(func() { s.writeOn(working) })
	return nil
}

// lookUp asks Redis for a key 50 times a second.
func (s *stores) lookUp(ctx context.Context) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		name := "known"
		if s.astray.Load() {
			name = "astray:" + rand.Text()
		}
		_ = s.client.Get(ctx, name).Err() // a miss is an error
	}
}

// writeOn gives the replica something to follow, twice a second.
func (s *stores) writeOn(ctx context.Context) {
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		_, _ = s.clerk.Exec(ctx, "INSERT INTO ledger VALUES (1)") // ends with the test
	}
}

// stop ends all.
func (s *stores) stop() error {
	var errs []error
	if s.endWork != nil {
		s.endWork()
		s.work.Wait()
	}
	for _, c := range append(s.filling, s.holder, s.waiter, s.first, s.second, s.clerk, s.onReplica) {
		if c != nil {
			_ = c.Close(context.Background()) // the server ends anyway
		}
	}
	if s.client != nil {
		errs = append(errs, s.client.Close())
	}
	if s.replica != nil {
		errs = append(errs, s.replica.Stop())
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Stop())
	}
	if s.redis != nil {
		errs = append(errs, s.redis.Stop())
	}
	return errors.Join(errs...)
}

// fill takes connections as an ordinary role until a share of them is taken.
func (s *stores) fill(share float64) func(context.Context) error {
	return func(ctx context.Context) error {
		var taken int
		if err := s.first.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'").Scan(&taken); err != nil {
			return err
		}
		for float64(taken) < share*(mostConnections-reserved) {
			c, err := pgx.Connect(ctx, s.postgres.URL().Value())
			if err != nil {
				return fmt.Errorf("with %d connections: %w", taken, err)
			}
			s.filling = append(s.filling, c)
			taken++
		}
		return nil
	}
}

// empty gives the connections back.
func (s *stores) empty(ctx context.Context) error {
	var errs []error
	for _, c := range s.filling {
		errs = append(errs, c.Close(ctx))
	}
	s.filling = nil
	return errors.Join(errs...)
}

// hold locks a table in a transaction that does nothing more, and lets another
// wait for it.
func (s *stores) hold(ctx context.Context) error {
	if _, err := s.holder.Exec(ctx, "BEGIN; LOCK TABLE held"); err != nil {
		return err
	}
	s.work.Go(func() { _, _ = s.waiter.Exec(context.WithoutCancel(ctx), "INSERT INTO held VALUES (1)") })
	return nil
}

func (s *stores) release(ctx context.Context) error {
	_, err := s.holder.Exec(ctx, "ROLLBACK")
	return err
}

// deadlock lets two transactions wait for each other. Postgres ends one after 1 s.
func (s *stores) deadlock(ctx context.Context) error {
	for _, err := range []error{exec1(ctx, s.first, "BEGIN; LOCK TABLE one"), exec1(ctx, s.second, "BEGIN; LOCK TABLE two")} {
		if err != nil {
			return err
		}
	}
	errs := make(chan error, 1)
	go func() { errs <- exec1(ctx, s.first, "LOCK TABLE two") }()
	second := exec1(ctx, s.second, "LOCK TABLE one")
	if second != nil { // it was the victim: now the other one has its lock
		_ = exec1(ctx, s.second, "ROLLBACK")
	}
	first := <-errs
	_ = exec1(ctx, s.first, "ROLLBACK")
	_ = exec1(ctx, s.second, "ROLLBACK")
	if first == nil && second == nil {
		return errors.New("two transactions that wait for each other both went on")
	}
	return nil
}

// loseSlot makes a slot that nobody reads from, and writes more log than Postgres
// keeps for it: some segments of 16 MB.
func (s *stores) loseSlot(ctx context.Context) error {
	c, err := pgx.Connect(ctx, s.postgres.AdminURL().Value())
	if err != nil {
		return err
	}
	defer c.Close(ctx) //nolint:errcheck // nothing is written any more
	for _, statement := range []string{
		"ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()",
		"SELECT pg_create_physical_replication_slot('nobody', true)",
		"SELECT pg_switch_wal()", "INSERT INTO ledger VALUES (1)", "SELECT pg_switch_wal()", "INSERT INTO ledger VALUES (1)", "SELECT pg_switch_wal()",
		"INSERT INTO ledger VALUES (1)", "CHECKPOINT", "SELECT pg_switch_wal()", "INSERT INTO ledger VALUES (1)", "CHECKPOINT",
	} {
		if err := exec1(ctx, c, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

func (s *stores) dropSlot(ctx context.Context) error {
	c, err := pgx.Connect(ctx, s.postgres.AdminURL().Value())
	if err != nil {
		return err
	}
	return errors.Join(exec1(ctx, c, "ALTER SYSTEM RESET max_slot_wal_keep_size"), exec1(ctx, c, "SELECT pg_reload_conf()"),
		// On a busy machine the slot of the replica may be lost as well.
		exec1(ctx, c, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE wal_status = 'lost'"), c.Close(ctx))
}

func exec1(ctx context.Context, c *pgx.Conn, statement string) error {
	_, err := c.Exec(ctx, statement)
	return err
}

func (s *stores) pauseReplay(ctx context.Context) error {
	return exec1(ctx, s.onReplica, "SELECT pg_wal_replay_pause()")
}

func (s *stores) resumeReplay(ctx context.Context) error {
	return exec1(ctx, s.onReplica, "SELECT pg_wal_replay_resume()")
}

// cutOff points the replica to where no primary is, or back.
func (s *stores) cutOff(port int) func(context.Context) error {
	return func(ctx context.Context) error {
		var source string
		if err := s.onReplica.QueryRow(ctx, "SHOW primary_conninfo").Scan(&source); err != nil {
			return err
		}
		words := strings.Fields(source)
		for i, word := range words {
			if strings.HasPrefix(word, "port=") {
				words[i] = fmt.Sprintf("port=%d", port)
			}
		}
		statement := "ALTER SYSTEM SET primary_conninfo = '" + strings.ReplaceAll(strings.Join(words, " "), "'", "''") + "'"
		return errors.Join(exec1(ctx, s.onReplica, statement), exec1(ctx, s.onReplica, "SELECT pg_reload_conf()"))
	}
}

// primaryPort is where the primary listens.
func (s *stores) primaryPort() int {
	parsed, err := url.Parse(s.postgres.URL().Value())
	if err != nil {
		return 0
	}
	port, _ := strconv.Atoi(parsed.Port())
	return port
}

// setRedis sets one of Redis' own settings.
func (s *stores) setRedis(ctx context.Context, name, value string) error {
	return s.client.ConfigSet(ctx, name, value).Err()
}

// stuff writes values of 100 kB until Redis is as full as a share of its 16 MB, or
// refuses.
func (s *stores) stuff(ctx context.Context, bytes int) error {
	const each = 100_000
	value := strings.Repeat("x", each)
	for n := range bytes / each {
		if err := s.client.Set(ctx, fmt.Sprintf("stuff:%d", n), value, 0).Err(); err != nil {
			return fmt.Errorf("after %d bytes: %w", n*each, err)
		}
	}
	return nil
}

// unstuff deletes them, and sees to it that the key that is looked up is there.
func (s *stores) unstuff(ctx context.Context) error {
	keys, err := s.client.Keys(ctx, "stuff:*").Result()
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		err = s.client.Del(ctx, keys...).Err()
	}
	return errors.Join(err, s.client.Set(ctx, "known", "1", 0).Err())
}

// reject lets Redis refuse connections for a moment.
func (s *stores) reject(ctx context.Context) error {
	clients, err := s.client.ClientList(ctx).Result()
	if err != nil {
		return err
	}
	if err := s.setRedis(ctx, "maxclients", strconv.Itoa(max(1, strings.Count(clients, "\n")-1))); err != nil {
		return err
	}
	for range 5 {
		c, err := net.Dial("tcp", s.client.Options().Addr)
		if err != nil {
			return err
		}
		_, _ = c.Read(make([]byte, 1)) // until Redis has said so and closed it
		_ = c.Close()
	}
	return s.setRedis(ctx, "maxclients", "1000")
}

// snatch deletes every key of a canary again and again: the time between its write
// and its read is a tenth of a millisecond, and a look takes less.
func (s *stores) snatch(ctx context.Context) error {
	options := *s.client.Options()
	options.PoolSize = 1
	client := redis.NewClient(&options)
	const script = `for _, name in ipairs(redis.call("KEYS", "soakd:canary:*")) do redis.call("DEL", name) end`
	if err := client.Eval(ctx, script, nil).Err(); err != nil && !errors.Is(err, redis.Nil) {
		return errors.Join(err, client.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() {
		for ctx.Err() == nil {
			_ = client.Eval(ctx, script, nil).Err() // nil is an error
		}
	})
	s.snatching = func() {
		cancel()
		work.Wait()
		_ = client.Close()
	}
	return nil
}

func (s *stores) endSnatching(context.Context) error {
	s.snatching()
	return nil
}
