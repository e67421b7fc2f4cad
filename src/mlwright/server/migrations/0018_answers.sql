-- What was answered to requests that carry a key, so that the same one again is not done twice.
CREATE TABLE answered (
    key TEXT NOT NULL,
    actor TEXT NOT NULL,
    request TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    status INTEGER,
    location TEXT NOT NULL,
    body BLOB,
    PRIMARY KEY (actor, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX answered_at ON answered (at_us);
