// Command reference runs the reference API with a private Postgres and Redis, the
// target of the benchmark's cashflow mix, until SIGTERM. It prints one line of
// JSON when everything is ready: where the API answers, and the key from which
// tokens are minted, which was made for this run alone.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"soakd/internal/localservices"
	"soakd/internal/secret"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("reference", flag.ContinueOnError)
	program := flags.String("refapi", "bin/refapi", "the built reference API, an absolute path")
	if err := flags.Parse(args); err != nil {
		return err
	}
	options := localservices.Options{Logger: slog.New(slog.DiscardHandler)}
	postgres, err := localservices.StartPostgres(ctx, options)
	if err != nil {
		return fmt.Errorf("start a private Postgres: %w", err)
	}
	defer func() { err = errors.Join(err, postgres.Stop()) }()
	redis, err := localservices.StartRedis(ctx, options)
	if err != nil {
		return fmt.Errorf("start a private Redis: %w", err)
	}
	defer func() { err = errors.Join(err, redis.Stop()) }()
	key := rand.Text()
	api, err := localservices.StartProgram(ctx, localservices.ProgramConfig{
		Name: "reference API", Path: *program, ListenEnv: "REFAPI_LISTEN", ReadyPath: "/health",
		Env: []string{"REFAPI_LOG_LEVEL=ERROR"},
		Secrets: map[string]secret.String{
			"REFAPI_POSTGRES_URL": postgres.URL(), "REFAPI_REDIS_URL": redis.URL(), "REFAPI_JWT_SECRET": secret.New(key),
		},
	})
	if err != nil {
		return fmt.Errorf("start the reference API: %w", err)
	}
	defer func() { err = errors.Join(err, api.Stop()) }()
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"url": api.URL(), "key": key}); err != nil {
		return fmt.Errorf("say where the reference API answers: %w", err)
	}
	<-ctx.Done()
	return nil
}
