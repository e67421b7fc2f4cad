-- Encoded values small enough to be rows.
CREATE TABLE inline (
    digest TEXT PRIMARY KEY,
    data BLOB NOT NULL
) STRICT, WITHOUT ROWID;
