-- +goose Up
CREATE TABLE baselines (
    target   TEXT NOT NULL,
    workload TEXT NOT NULL,
    name     TEXT NOT NULL,
    run      TEXT NOT NULL, -- a run's id; the baseline outlives the run
    version  TEXT NOT NULL,
    created  BIGINT NOT NULL,
    pinned   BIGINT NOT NULL,
    profile  BYTEA NOT NULL,
    PRIMARY KEY (target, workload, name)
);

CREATE TABLE state (
    series  BIGINT NOT NULL REFERENCES series (id),
    key     TEXT NOT NULL,
    updated BIGINT NOT NULL,
    data    BYTEA NOT NULL,
    PRIMARY KEY (series, key)
);
