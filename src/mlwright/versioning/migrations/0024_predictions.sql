-- Samples of what was answered, many records in one object.
CREATE TABLE prediction_batch (
    id TEXT PRIMARY KEY,
    version_id TEXT NOT NULL REFERENCES version (id),
    digest TEXT NOT NULL,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    records INTEGER NOT NULL,
    answers REAL NOT NULL,
    UNIQUE (version_id, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX prediction_batch_newest ON prediction_batch (last_us, id);
