package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// applicationID marks a file as a history of soakd: "soak" in ASCII
	// (https://www.sqlite.org/pragma.html#pragma_application_id).
	applicationID = 0x736f616b
	// busyTimeout is how long one waits for another process that writes. A batch
	// takes some milliseconds; an import may take some seconds.
	busyTimeout = "10000"
	// maxJournal is how many bytes of the write-ahead log stay on the disk when it
	// has been written back.
	maxJournal = "16777216"
	// bringUpLimit bounds for how long one tries to bring a file up to date, and
	// bringUpPause is how long one waits after a failure.
	bringUpLimit = 15 * time.Second
	bringUpPause = 100 * time.Millisecond
	// readers is how many may read at the same time.
	readers = 4
)

// inFile is SQLite in a file.
type inFile struct{ path string }

func openSQLite(ctx context.Context, s *Store) error {
	file := inFile{path: s.cfg.Location.path}
	s.dialect = file
	empty, err := file.prepare(s.cfg.MustExist)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	settings := url.Values{
		// A transaction that reads before it writes must not find that another one
		// wrote in between.
		"_txlock": {"immediate"},
	}
	if empty {
		// Of a file with tables it cannot be changed, and asking for it would wait for
		// others that write.
		settings.Set("_auto_vacuum", "INCREMENTAL")
	}
	if s.write, err = sql.Open("sqlite", file.source(settings)); err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1)
	if err := file.bringUp(ctx, s); err != nil {
		return err
	}
	if s.read, err = sql.Open("sqlite", file.source(url.Values{"_query_only": {"1"}})); err != nil {
		return err
	}
	s.read.SetMaxOpenConns(readers)
	return nil
}

// prepare makes sure that the file is there and can be written, so that the error
// that a person sees is the system's and not SQLite's. The histories of a service
// are nobody else's business. It reports whether the file is empty.
func (f inFile) prepare(mustExist bool) (empty bool, err error) {
	flags := os.O_RDWR
	if !mustExist {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
			return false, err
		}
		flags |= os.O_CREATE
	}
	file, err := os.OpenFile(f.path, flags, 0o600)
	if mustExist && errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("%w: there is no history here yet: soakd run makes it", ErrNotFound)
	}
	if err != nil {
		return false, err
	}
	info, err := file.Stat()
	return err == nil && info.Size() == 0, errors.Join(err, file.Close())
}

// source is the data source name. WAL lets others read while one writes; with
// synchronous=FULL a commit is on the disk when it returns
// (https://www.sqlite.org/pragma.html#pragma_synchronous).
func (f inFile) source(settings url.Values) string {
	values := url.Values{
		"mode": {"rw"}, "_busy_timeout": {busyTimeout}, "_journal_mode": {"WAL"}, "_synchronous": {"FULL"},
		"_foreign_keys": {"1"}, "_pragma": {"journal_size_limit(" + maxJournal + ")"},
	}
	maps.Copy(values, settings)
	return (&url.URL{Scheme: "file", Path: f.path, RawQuery: values.Encode()}).String()
}

// bringUp makes the file a history of today. Another soakd may do the same at the
// same time, and neither the change to a write-ahead log nor a migration waits for
// the other: who comes too late tries again and finds it done.
func (f inFile) bringUp(ctx context.Context, s *Store) error {
	for began := time.Now(); ; {
		err := f.claim(ctx, s.write)
		if err == nil {
			err = migrate(ctx, s)
		}
		if err = s.explain(err); err == nil || time.Since(began) > bringUpLimit || errors.Is(err, ErrUnusable) {
			return err
		}
		select {
		case <-time.After(bringUpPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// claim marks a new file as soakd's, and refuses one of something else.
func (f inFile) claim(ctx context.Context, db *sql.DB) error {
	var id, tables int64
	// Without a transaction, which would wait for others that write.
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil || id == applicationID {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	if err := tx.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil || id == applicationID {
		return err // another soakd was faster
	}
	if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return err
	}
	if id != 0 || tables > 0 {
		return fmt.Errorf("%w: this is an SQLite database of something else: give another path", ErrUnusable)
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		return err
	}
	return tx.Commit()
}

func (inFile) rebind(query string) string { return query }

func (inFile) snapshot() sql.IsolationLevel { return sql.LevelDefault }

// explain follows https://www.sqlite.org/rescode.html.
func (f inFile) explain(err error) error {
	var failed *sqlite.Error
	if err == nil || !errors.As(err, &failed) || errors.Is(err, ErrUnusable) {
		return err
	}
	const primary = 0xff
	switch failed.Code() & primary {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: the file is damaged: move %s, %s-wal and %s-shm away and soakd makes a new one; `sqlite3 %s .recover` may save what was in it: %w",
			ErrUnusable, f.path, f.path, f.path, f.path, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("%w: the file and its folder must be writable: %w", ErrUnusable, err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("the disk is full: %w", err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("the disk does not take it, perhaps because it is full: %w", err)
	case sqlite3.SQLITE_BUSY:
		return fmt.Errorf("another process writes and does not come to an end: %w", err)
	}
	return err
}

func (inFile) size(ctx context.Context, s *Store) (used, taken int64, err error) {
	var pages, free, each int64
	for pragma, value := range map[string]*int64{"page_count": &pages, "freelist_count": &free, "page_size": &each} {
		if err := s.read.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(value); err != nil {
			return 0, 0, err
		}
	}
	return (pages - free) * each, pages * each, nil
}

// compactPages is how many pages are given back in one transaction: 4 MB, so that
// a batch that comes meanwhile waits some milliseconds only.
const compactPages = 1000

func (f inFile) compact(ctx context.Context, s *Store) error {
	for {
		var before, after int64
		if err := s.write.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&before); err != nil {
			return err
		}
		// Each row that the pragma gives frees a page; all must be asked for.
		if err := s.rows(ctx, s.write, func(*sql.Rows) (bool, error) { return true, nil }, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", compactPages)); err != nil {
			return err
		}
		if err := s.write.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&after); err != nil {
			return err
		}
		if after == 0 || after >= before {
			break
		}
	}
	// So that the log, too, gives back what it took. Others that read meanwhile keep
	// it from that, which is no mistake.
	return s.rows(ctx, s.write, func(*sql.Rows) (bool, error) { return true, nil }, "PRAGMA wal_checkpoint(TRUNCATE)")
}
