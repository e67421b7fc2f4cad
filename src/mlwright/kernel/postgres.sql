-- name: is_migrated
-- Whether the database has a schema of ours.
SELECT to_regclass('migration') IS NOT NULL AS migrated;

-- name: schema_number
-- How many migrations the schema has seen.
SELECT max(number) AS number FROM migration;

-- name: is_prepared
-- Whether there is a table of turns.
SELECT to_regclass('turn') IS NOT NULL AS prepared;

-- name: committed
-- Whether a writer has committed a transaction.
SELECT number FROM turn WHERE writer = :writer AND number = :number;

-- name: take_turn
-- What a writer is about to commit: committed with it, so that it can be told whether it was.
INSERT INTO turn (writer, number, at_us) VALUES (:writer, :number, :at_us)
ON CONFLICT (writer) DO UPDATE SET number = excluded.number, at_us = excluded.at_us;

-- name: forget_turns
-- Nobody asks any more for what was committed long ago.
DELETE FROM turn WHERE at_us < :before_us;

-- name: size
-- How much room the database takes.
SELECT pg_database_size(current_database()) AS size_bytes;

-- name: tables
-- The tables of the schema.
SELECT relname AS name FROM pg_class
WHERE relkind = 'r' AND relnamespace = CAST(current_schema() AS regnamespace) ORDER BY relname;

-- name: references
-- Which columns refer to which, by table.
SELECT child.relname AS child, parent.relname AS parent,
    ARRAY(
        SELECT attname FROM unnest(conkey) WITH ORDINALITY AS place (number, position)
        JOIN pg_attribute ON attrelid = conrelid AND attnum = place.number ORDER BY position
    ) AS child_columns,
    ARRAY(
        SELECT attname FROM unnest(confkey) WITH ORDINALITY AS place (number, position)
        JOIN pg_attribute ON attrelid = confrelid AND attnum = place.number ORDER BY position
    ) AS parent_columns
FROM pg_constraint
JOIN pg_class AS child ON child.oid = conrelid
JOIN pg_class AS parent ON parent.oid = confrelid
WHERE contype = 'f' AND connamespace = CAST(current_schema() AS regnamespace) ORDER BY conname;

-- name: numbered
-- The tables whose rows are numbered by us, each with its column.
SELECT table_name AS name, column_name AS key FROM information_schema.columns
WHERE table_schema = current_schema() AND column_default LIKE 'next_number%' ORDER BY table_name;

-- name: counters
-- The last number that was given in each table.
SELECT name, last FROM counter ORDER BY name;

-- name: set_counter
-- The last number that was given in a table elsewhere.
INSERT INTO counter (name, last) VALUES (:name, :last) ON CONFLICT (name) DO UPDATE SET last = excluded.last;
