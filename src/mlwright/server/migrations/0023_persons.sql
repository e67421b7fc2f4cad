-- People who have logged in at a provider, and the sessions that are theirs.
CREATE TABLE person (
    id TEXT PRIMARY KEY,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    groups TEXT NOT NULL,
    role TEXT NOT NULL,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    UNIQUE (issuer, subject)
) STRICT, WITHOUT ROWID;

ALTER TABLE token ADD COLUMN person_id TEXT REFERENCES person (id);
