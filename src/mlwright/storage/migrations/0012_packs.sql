-- Where bytes lie that are no object of their own: small files in packs, pieces of large ones in what holds them.
CREATE TABLE packed (
    digest TEXT PRIMARY KEY,
    pack TEXT NOT NULL,
    start INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX packed_pack ON packed (pack);

CREATE TABLE chunked (
    digest TEXT PRIMARY KEY,
    recipe TEXT NOT NULL,
    size_bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
