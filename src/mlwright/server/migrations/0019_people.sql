-- The secrets by which people, their programs and their browsers are known: of each only a digest is kept.
CREATE TABLE token (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE,
    parent_id TEXT REFERENCES token (id) ON DELETE SET NULL,
    created_us INTEGER NOT NULL,
    expires_us INTEGER,
    used_us INTEGER,
    revoked_us INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX token_name ON token (name);

CREATE INDEX token_parent ON token (parent_id);
