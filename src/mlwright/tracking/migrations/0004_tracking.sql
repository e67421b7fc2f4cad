-- One row for each execution, with its parameters and the last value of each metric.
CREATE TABLE run (
    id TEXT PRIMARY KEY,
    project TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    state TEXT NOT NULL,
    seed INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    finished_us INTEGER,
    error TEXT,
    pins TEXT NOT NULL
) STRICT;

CREATE INDEX run_newest ON run (created_us DESC);
CREATE INDEX run_unfinished ON run (state) WHERE state = 'running';

CREATE TABLE param (
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE metric (
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value REAL,
    step INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    PRIMARY KEY (run_id, name)
) STRICT, WITHOUT ROWID;
