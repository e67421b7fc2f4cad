-- The tables every room writes: what happened, what came of what, who owns a running thing.
-- only: postgres
CREATE TABLE counter (
    name TEXT COLLATE "C" PRIMARY KEY,
    last BIGINT NOT NULL
);

-- only: postgres
CREATE TABLE turn (
    writer TEXT COLLATE "C" PRIMARY KEY,
    number BIGINT NOT NULL,
    at_us BIGINT NOT NULL
);

-- only: postgres
CREATE FUNCTION next_number(of TEXT) RETURNS BIGINT LANGUAGE sql AS
    'INSERT INTO counter (name, last) VALUES (of, 1)
     ON CONFLICT (name) DO UPDATE SET last = counter.last + 1 RETURNING last';

CREATE TABLE migration (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_us INTEGER NOT NULL
) STRICT;

CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us INTEGER NOT NULL,
    verb TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    actor TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;

CREATE TABLE edge (
    from_kind TEXT NOT NULL,
    from_id TEXT NOT NULL,
    role TEXT NOT NULL,
    to_kind TEXT NOT NULL,
    to_id TEXT NOT NULL,
    PRIMARY KEY (from_kind, from_id, role, to_kind, to_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX edge_to ON edge (to_kind, to_id, role);

CREATE TABLE lease (
    token INTEGER PRIMARY KEY AUTOINCREMENT,
    subject TEXT NOT NULL UNIQUE,
    host TEXT NOT NULL,
    boot TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started TEXT NOT NULL
) STRICT;
