-- Model versions whose packages and the server's exclude each other: they answer in a process of their own.
CREATE TABLE apart (
    version_id TEXT PRIMARY KEY REFERENCES version (id) ON DELETE CASCADE,
    why TEXT NOT NULL,
    asked TEXT NOT NULL,
    created_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
