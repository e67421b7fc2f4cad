-- Experiments, tags, inputs, files, logged models, and metrics as series: an open chunk as rows, sealed ones packed.
CREATE TABLE experiment (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    deleted_us INTEGER
) STRICT;

-- only: sqlite
INSERT INTO experiment (id, name, created_us, updated_us)
SELECT 0, 'Default', now_us, now_us FROM (SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS now_us) AS clock;

-- only: postgres
INSERT INTO experiment (id, name, created_us, updated_us)
SELECT 0, 'Default', now_us, now_us
FROM (SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) AS now_us) AS clock;

INSERT INTO experiment (name, created_us, updated_us)
SELECT project || '/' || pipeline, min(created_us), max(created_us) FROM run
GROUP BY project, pipeline ORDER BY min(created_us);

CREATE TABLE experiment_tag (
    experiment_id INTEGER NOT NULL REFERENCES experiment (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (experiment_id, name)
) STRICT, WITHOUT ROWID;

ALTER TABLE run ADD COLUMN experiment_id INTEGER REFERENCES experiment (id);
ALTER TABLE run ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE run ADD COLUMN deleted_us INTEGER;

UPDATE run SET experiment_id = (
    SELECT experiment.id FROM experiment WHERE experiment.name = run.project || '/' || run.pipeline
);

DROP INDEX run_unfinished;
CREATE INDEX run_unfinished ON run (created_us) WHERE state = 'running' AND kind <> 'reported';

CREATE INDEX run_ours ON run (created_us, id)
WHERE kind NOT IN ('comparison', 'reported') AND deleted_us IS NULL;

CREATE INDEX run_of_experiment ON run (experiment_id, created_us);
CREATE INDEX run_named ON run (substr(name, 1, 100));

CREATE TABLE tag (
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run_id, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX tag_found ON tag (name, substr(value, 1, 100));

ALTER TABLE param ADD COLUMN text TEXT NOT NULL DEFAULT '';

-- only: sqlite
UPDATE param SET text = CASE WHEN substr(value, 1, 1) = '"' THEN json_extract(value, '$') ELSE value END;

CREATE INDEX param_found ON param (name, substr(text, 1, 100));

ALTER TABLE metric ADD COLUMN experiment_id INTEGER REFERENCES experiment (id);
ALTER TABLE metric ADD COLUMN bits INTEGER;
ALTER TABLE metric ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE metric ADD COLUMN open INTEGER NOT NULL DEFAULT 0;

UPDATE metric SET experiment_id = (SELECT run.experiment_id FROM run WHERE run.id = metric.run_id);

CREATE INDEX metric_best ON metric (name, experiment_id, value);

CREATE TABLE point (
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (run_id, name, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE chunk (
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    points INTEGER NOT NULL,
    first_step INTEGER NOT NULL,
    last_step INTEGER NOT NULL,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    lowest REAL,
    lowest_step INTEGER,
    lowest_us INTEGER,
    highest REAL,
    highest_step INTEGER,
    highest_us INTEGER,
    PRIMARY KEY (run_id, name, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE chunk_data (
    run_id TEXT NOT NULL,
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (run_id, name, number),
    FOREIGN KEY (run_id, name, number) REFERENCES chunk (run_id, name, number) ON DELETE CASCADE
) STRICT;

CREATE TABLE input (
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    source_type TEXT NOT NULL,
    source TEXT NOT NULL,
    schema TEXT NOT NULL,
    profile TEXT NOT NULL,
    tags TEXT NOT NULL,
    context TEXT,
    PRIMARY KEY (run_id, name, hash)
) STRICT;

CREATE INDEX input_found ON input (name, hash);

CREATE TABLE file (
    place TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    created_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE logged_model (
    id TEXT PRIMARY KEY,
    experiment_id INTEGER NOT NULL REFERENCES experiment (id),
    run_id TEXT REFERENCES run (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    state TEXT NOT NULL,
    state_message TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    deleted_us INTEGER
) STRICT;

CREATE INDEX logged_model_of_experiment ON logged_model (experiment_id, created_us);
CREATE INDEX logged_model_of_run ON logged_model (run_id);

CREATE TABLE logged_model_text (
    model_id TEXT NOT NULL REFERENCES logged_model (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model_id, kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE logged_model_metric (
    model_id TEXT NOT NULL REFERENCES logged_model (id) ON DELETE CASCADE,
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value REAL,
    bits INTEGER NOT NULL,
    step INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    dataset_name TEXT NOT NULL,
    dataset_hash TEXT NOT NULL,
    PRIMARY KEY (model_id, run_id, name, dataset_name, dataset_hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX logged_model_metric_best ON logged_model_metric (name, value);

CREATE TABLE run_model (
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    model_id TEXT NOT NULL REFERENCES logged_model (id) ON DELETE CASCADE,
    way TEXT NOT NULL,
    step INTEGER NOT NULL,
    PRIMARY KEY (run_id, model_id, way)
) STRICT, WITHOUT ROWID;
