-- Locks: which packages, for which interpreter and platform.
CREATE TABLE lock (
    digest TEXT PRIMARY KEY,
    pylock TEXT NOT NULL,
    python TEXT NOT NULL,
    platform TEXT NOT NULL,
    packages INTEGER NOT NULL,
    created_us INTEGER NOT NULL
) STRICT;
