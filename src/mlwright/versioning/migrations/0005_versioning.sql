-- Values that were made or brought in, the names and numbers given to some, and the code behind them.
CREATE TABLE artifact (
    id TEXT PRIMARY KEY,
    codec TEXT NOT NULL,
    type TEXT NOT NULL,
    digest TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    about TEXT NOT NULL,
    ours INTEGER NOT NULL,
    created_us INTEGER NOT NULL
) STRICT;

CREATE INDEX artifact_digest ON artifact (digest);

CREATE TABLE version (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    artifact_id TEXT NOT NULL REFERENCES artifact (id),
    message TEXT NOT NULL,
    about TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    UNIQUE (kind, name, number)
) STRICT;

CREATE TABLE alias (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    alias TEXT NOT NULL,
    version_id TEXT NOT NULL REFERENCES version (id),
    PRIMARY KEY (kind, name, alias)
) STRICT, WITHOUT ROWID;

CREATE TABLE alias_move (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    alias TEXT NOT NULL,
    from_id TEXT REFERENCES version (id),
    to_id TEXT NOT NULL REFERENCES version (id),
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    at_us INTEGER NOT NULL
) STRICT;

CREATE TABLE snapshot (
    digest TEXT PRIMARY KEY,
    tree TEXT NOT NULL,
    git_commit TEXT NOT NULL,
    git_remote TEXT NOT NULL,
    dirty INTEGER NOT NULL,
    files INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    created_us INTEGER NOT NULL
) STRICT;
