-- name: schema_objects
-- The schema as the database sees it, to compare with what the migrations promise.
SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name;

-- name: tables
-- The tables that hold records: not those in which an index of words keeps what it needs.
SELECT name FROM pragma_table_list
WHERE schema = 'main' AND type IN ('table', 'virtual') AND name NOT LIKE 'sqlite_%' ORDER BY name;

-- name: columns
-- The columns of a table, in their order.
SELECT name FROM pragma_table_info(:name) ORDER BY cid;

-- name: counters
-- The last number that was given in each table that never gives one again.
SELECT name, seq AS last FROM sqlite_sequence;

-- name: counted
-- The tables that never give a number again.
SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%';

-- name: forget_counter
-- Make room for the number that was given elsewhere.
DELETE FROM sqlite_sequence WHERE name = :name;

-- name: set_counter
-- The last number that was given in a table elsewhere.
INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last);
