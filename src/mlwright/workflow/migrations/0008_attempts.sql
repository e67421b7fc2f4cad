-- What an attempt ran with and moved, and how long each step has taken so far.
ALTER TABLE attempt ADD COLUMN worker TEXT NOT NULL DEFAULT '';
ALTER TABLE attempt ADD COLUMN cpus INTEGER NOT NULL DEFAULT 1;
ALTER TABLE attempt ADD COLUMN gpus TEXT NOT NULL DEFAULT '';
ALTER TABLE attempt ADD COLUMN bytes_in INTEGER;
ALTER TABLE attempt ADD COLUMN bytes_out INTEGER;

CREATE TABLE duration (
    project TEXT NOT NULL,
    step TEXT NOT NULL,
    mean_s REAL NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (project, step)
) STRICT, WITHOUT ROWID;
