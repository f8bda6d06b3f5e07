-- Times are nanoseconds since 1970 in UTC, levels seconds.

-- +goose Up
CREATE TABLE series (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target   TEXT NOT NULL,
    instance TEXT NOT NULL,
    UNIQUE (target, instance)
);

CREATE TABLE runs (
    number        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE,
    series        BIGINT NOT NULL REFERENCES series (id),
    workload      TEXT NOT NULL,
    soakd_version TEXT NOT NULL,
    settings      JSON,
    started       BIGINT NOT NULL,
    seen          BIGINT NOT NULL,
    ended         BIGINT,
    verdict       TEXT NOT NULL,
    summary       JSON
);
CREATE INDEX runs_started ON runs (started);
CREATE INDEX runs_series ON runs (series);

CREATE TABLE run_versions (
    run     BIGINT NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    version TEXT NOT NULL,
    since   BIGINT NOT NULL,
    PRIMARY KEY (run, version)
);

CREATE TABLE windows (
    series  BIGINT NOT NULL REFERENCES series (id),
    level   BIGINT NOT NULL,
    start   BIGINT NOT NULL,
    run     BIGINT NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    version TEXT NOT NULL,
    data    BYTEA NOT NULL,
    PRIMARY KEY (series, level, start, run)
);
CREATE INDEX windows_run ON windows (run, level, start);
-- It comes packed: nothing is gained by packing it again.
ALTER TABLE windows ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE findings (
    run      BIGINT NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    id       TEXT NOT NULL,
    kind     TEXT NOT NULL,
    subject  TEXT NOT NULL,
    onset    BIGINT NOT NULL,
    found    BIGINT NOT NULL,
    ended    BIGINT,
    document JSON,
    PRIMARY KEY (run, id)
);

CREATE TABLE events (
    run      BIGINT NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    id       TEXT NOT NULL,
    at       BIGINT NOT NULL,
    kind     TEXT NOT NULL,
    text     TEXT NOT NULL,
    document JSON,
    PRIMARY KEY (run, id)
);
CREATE INDEX events_at ON events (at);
