package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"

	"soakd/internal/localservices"
	"soakd/internal/refapi"
	"soakd/internal/report"
	"soakd/internal/secret"
)

// referenceAPI is the command with which soakd runs itself as the demo's API. It
// is in no help: by itself there is internal/refapi/cmd/refapi.
const referenceAPI = "reference-api"

// referenceAPICommand is `soakd reference-api`. The parent gives everything in
// REFAPI_* variables.
func referenceAPICommand(ctx context.Context, args []string, stderr io.Writer) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no arguments", referenceAPI)}
	}
	return refapi.Main(ctx, os.Getenv, stderr)
}

// applicationName is how the reference API is seen in pg_stat_activity.
const applicationName = "cashflow-api"

// startAPI runs the reference API as a process of its own, so that what is
// measured on it is not soakd. faults are variables that make it a worse API.
func (s *services) startAPI(ctx context.Context, faults []string) error {
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("start the reference API: find soakd's own binary: %w", err)
	}
	s.api, err = localservices.StartProgram(ctx, localservices.ProgramConfig{
		Name: "reference API", Path: path, Args: []string{referenceAPI},
		Env: append([]string{
			"REFAPI_APPLICATION_NAME=" + applicationName, "REFAPI_VERSION=" + report.Version(), "REFAPI_LOG_LEVEL=" + levelOf(ctx, s.log),
		}, faults...),
		Secrets: map[string]secret.String{
			"REFAPI_POSTGRES_URL": s.postgres.URL(), "REFAPI_REDIS_URL": s.redis.URL(), "REFAPI_JWT_SECRET": s.jwtSecret,
			"REFAPI_ADMIN_TOKEN": s.adminToken,
		},
		ListenEnv: "REFAPI_LISTEN", ReadyPath: "/health",
		Output: passOn(s.log.With("part", "reference API")), Logger: s.log,
	})
	return err
}

// howToFault says how the API's faults are switched while the demo runs. It holds
// the admin token, which is the demo's own and is good on the loopback alone: it is
// for the terminal, not for a log.
func (s *services) howToFault() string {
	return fmt.Sprintf(`The API can be made worse while it is watched: this slows all of it for two minutes.
  curl -X PUT -H 'Authorization: Bearer %s' -d '{"factor": 3, "for": "2m"}' %s/admin/faults/slow_all
GET /admin/faults lists all faults, DELETE switches them off.

`, s.adminToken.Value(), s.url())
}

// levelOf returns the lowest level that a log writes.
func levelOf(ctx context.Context, log *slog.Logger) string {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn} {
		if log.Enabled(ctx, level) {
			return level.String()
		}
	}
	return slog.LevelError.String()
}

// maxPassedOn is how much of one text of another program goes into the log, in bytes.
const maxPassedOn = 1000

// passOn returns what writes a line of the API's log, which is JSON, as a line
// of this log. What is not JSON, such as the trace of a crash, is written as it is.
func passOn(log *slog.Logger) func(line string) {
	return func(line string) {
		ctx := context.Background() // a line belongs to no request
		var record map[string]any
		var level slog.Level
		if json.Unmarshal([]byte(line), &record) != nil || level.UnmarshalText([]byte(text(record[slog.LevelKey]))) != nil {
			log.LogAttrs(ctx, slog.LevelWarn, "output of the process", slog.String("line", text(line)))
			return
		}
		message := text(record[slog.MessageKey])
		for _, key := range []string{slog.TimeKey, slog.LevelKey, slog.MessageKey} {
			delete(record, key)
		}
		var attrs []slog.Attr
		for _, key := range slices.Sorted(maps.Keys(record)) {
			attrs = append(attrs, slog.String(key, text(record[key])))
		}
		log.LogAttrs(ctx, level, message, attrs...)
	}
}

// text returns a value of JSON as bounded text.
func text(value any) string {
	if value == nil {
		return ""
	}
	all := fmt.Sprint(value)
	if len(all) > maxPassedOn {
		return all[:maxPassedOn] + "..."
	}
	return all
}
