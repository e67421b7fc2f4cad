-- What is searched by words, which versions are gone, and moves of aliases that outlive their versions.
-- only: sqlite
CREATE VIRTUAL TABLE search USING fts5 (
    version_id UNINDEXED,
    kind UNINDEXED,
    name,
    tags,
    columns,
    message,
    tokenize = 'unicode61 remove_diacritics 2',
    prefix = '2 3'
);

-- only: sqlite
INSERT INTO search (version_id, kind, name, tags, columns, message)
SELECT id, kind, name, '', coalesce(
    (SELECT group_concat(value, ', ') FROM json_each(version.about, '$.columns')),
    (SELECT group_concat(json_extract(value, '$.name'), ', ') FROM json_each(version.about, '$.signature.inputs')),
    ''
), message FROM version;

-- only: postgres
CREATE TABLE search (
    version_id TEXT COLLATE "C" PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    tags TEXT NOT NULL,
    columns TEXT NOT NULL,
    message TEXT NOT NULL,
    words TSVECTOR
);

-- only: postgres
CREATE INDEX search_words ON search USING gin (words);

-- only: postgres
CREATE INDEX search_unread ON search (version_id) WHERE words IS NULL;

CREATE TABLE removed (
    version_id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    UNIQUE (kind, name, number)
) STRICT;

ALTER TABLE alias_move ADD COLUMN from_number INTEGER;
ALTER TABLE alias_move ADD COLUMN to_number INTEGER;

UPDATE alias_move SET
    from_number = (SELECT number FROM version WHERE version.id = alias_move.from_id),
    to_number = (SELECT number FROM version WHERE version.id = alias_move.to_id);

ALTER TABLE alias_move DROP COLUMN from_id;
ALTER TABLE alias_move DROP COLUMN to_id;
