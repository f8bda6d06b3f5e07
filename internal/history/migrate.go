package history

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Each database has its own files; those of the same number do the same.
//
//go:embed migrations
var migrations embed.FS

const (
	// migrationLock is the advisory lock that soakds agree on while one migrates:
	// "soakd" in ASCII.
	migrationLock = 0x736f616b64
	// lockSeconds bounds how long one waits for it.
	lockSeconds = 60
)

// newProvider returns what knows the migrations of the store's database.
func newProvider(s *Store) (*goose.Provider, error) {
	name, dialect := "sqlite", goose.DialectSQLite3
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true), goose.WithTableName("schema_versions")}
	if s.cfg.Location.path == "" {
		name, dialect = "postgres", goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(migrationLock), lock.WithLockTimeout(1, lockSeconds))
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	files, err := fs.Sub(migrations, "migrations/"+name)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(dialect, s.write, files, options...)
}

// migrate brings the schema up to date, each step in a transaction, and refuses
// one that is ahead of this soakd.
func migrate(ctx context.Context, s *Store) error {
	provider, err := newProvider(s)
	if err != nil {
		return err
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the version of the schema: %w", err)
	}
	if current > target {
		return fmt.Errorf("%w: it is of a newer soakd (schema %d, and this soakd knows %d): use that soakd, or give another place", ErrUnusable, current, target)
	}
	if current == target {
		return nil
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("bring the schema from version %d to %d: %w", current, target, err)
	}
	return nil
}
