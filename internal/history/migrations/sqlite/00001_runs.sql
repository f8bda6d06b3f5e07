-- Times are nanoseconds since 1970 in UTC, levels seconds, documents JSON.

-- +goose Up
CREATE TABLE series (
    id       INTEGER PRIMARY KEY,
    target   TEXT NOT NULL,
    instance TEXT NOT NULL,
    UNIQUE (target, instance)
);

CREATE TABLE runs (
    number        INTEGER PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE,
    series        INTEGER NOT NULL REFERENCES series (id),
    workload      TEXT NOT NULL,
    soakd_version TEXT NOT NULL,
    settings      TEXT,
    started       INTEGER NOT NULL,
    seen          INTEGER NOT NULL,
    ended         INTEGER,
    verdict       TEXT NOT NULL,
    summary       TEXT
);
CREATE INDEX runs_started ON runs (started);
CREATE INDEX runs_series ON runs (series);

CREATE TABLE run_versions (
    run     INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    version TEXT NOT NULL,
    since   INTEGER NOT NULL,
    PRIMARY KEY (run, version)
);

CREATE TABLE windows (
    series  INTEGER NOT NULL REFERENCES series (id),
    level   INTEGER NOT NULL,
    start   INTEGER NOT NULL,
    run     INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    version TEXT NOT NULL,
    data    BLOB NOT NULL,
    PRIMARY KEY (series, level, start, run)
);
CREATE INDEX windows_run ON windows (run, level, start);

CREATE TABLE findings (
    run      INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    id       TEXT NOT NULL,
    kind     TEXT NOT NULL,
    subject  TEXT NOT NULL,
    onset    INTEGER NOT NULL,
    found    INTEGER NOT NULL,
    ended    INTEGER,
    document TEXT,
    PRIMARY KEY (run, id)
);

CREATE TABLE events (
    run      INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    id       TEXT NOT NULL,
    at       INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    text     TEXT NOT NULL,
    document TEXT,
    PRIMARY KEY (run, id)
);
CREATE INDEX events_at ON events (at);
