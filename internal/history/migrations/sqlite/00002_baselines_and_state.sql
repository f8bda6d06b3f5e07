-- +goose Up
CREATE TABLE baselines (
    target   TEXT NOT NULL,
    workload TEXT NOT NULL,
    name     TEXT NOT NULL,
    run      TEXT NOT NULL, -- a run's id; the baseline outlives the run
    version  TEXT NOT NULL,
    created  INTEGER NOT NULL,
    pinned   INTEGER NOT NULL,
    profile  BLOB NOT NULL,
    PRIMARY KEY (target, workload, name)
);

CREATE TABLE state (
    series  INTEGER NOT NULL REFERENCES series (id),
    key     TEXT NOT NULL,
    updated INTEGER NOT NULL,
    data    BLOB NOT NULL,
    PRIMARY KEY (series, key)
);
