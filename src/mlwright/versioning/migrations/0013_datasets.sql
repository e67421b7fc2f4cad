-- What is searched by words, which versions are gone, and moves of aliases that outlive their versions.
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

INSERT INTO search (version_id, kind, name, tags, columns, message)
SELECT id, kind, name, '', coalesce(
    (SELECT group_concat(value, ', ') FROM json_each(version.about, '$.columns')),
    (SELECT group_concat(json_extract(value, '$.name'), ', ') FROM json_each(version.about, '$.signature.inputs')),
    ''
), message FROM version;

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
