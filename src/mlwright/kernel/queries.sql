-- name: add_edge
-- Tie a later thing to an earlier one; the same edge twice is one edge.
INSERT INTO edge (from_kind, from_id, role, to_kind, to_id)
VALUES (:from_kind, :from_id, :role, :to_kind, :to_id)
ON CONFLICT DO NOTHING;

-- name: roles_towards
-- How often things of a kind are referred to, by what and in which role.
SELECT from_kind, role, count(*) AS edges FROM edge WHERE to_kind = :kind GROUP BY from_kind, role;

-- name: edges_from
-- What one thing was made from, in one role or in all.
SELECT from_kind, from_id, role, to_kind, to_id FROM edge
WHERE from_kind = :kind AND from_id = :id AND role = coalesce(:role, role)
ORDER BY role, to_kind, to_id;

-- name: edges_to
-- What was made from one thing, in one role or in all.
SELECT from_kind, from_id, role, to_kind, to_id FROM edge
WHERE to_kind = :kind AND to_id = :id AND role = coalesce(:role, role)
ORDER BY role, from_kind, from_id;

-- name: remove_edges
-- A thing that is gone was made from nothing any more.
DELETE FROM edge WHERE from_kind = :kind AND from_id = :id;

-- name: bytes_named
-- The next objects or trees that edges lead to, in the order of their digests.
SELECT DISTINCT to_id FROM edge WHERE to_kind = :kind AND to_id > :after ORDER BY to_id LIMIT :limit;

-- name: count_edges
-- How many edges there are.
SELECT count(*) AS edges FROM edge;

-- name: any_record
-- Whether anything has been recorded yet.
SELECT EXISTS (SELECT 1 FROM event) OR EXISTS (SELECT 1 FROM edge) AS any_record;

-- name: walk_up
-- Every edge between a thing and its origins; UNION ends the walk where paths meet, CROSS JOIN spares SQLite reading every edge.
WITH RECURSIVE reached (kind, id) AS (
    SELECT :kind, :id
    UNION
    SELECT edge.to_kind, edge.to_id FROM edge JOIN reached
    ON edge.from_kind = reached.kind AND edge.from_id = reached.id
)
SELECT edge.from_kind, edge.from_id, edge.role, edge.to_kind, edge.to_id
FROM reached CROSS JOIN edge WHERE edge.from_kind = reached.kind AND edge.from_id = reached.id
ORDER BY edge.from_kind, edge.from_id, edge.role, edge.to_kind, edge.to_id;

-- name: walk_down
-- Every edge between a thing and all that came of it.
WITH RECURSIVE reached (kind, id) AS (
    SELECT :kind, :id
    UNION
    SELECT edge.from_kind, edge.from_id FROM edge JOIN reached
    ON edge.to_kind = reached.kind AND edge.to_id = reached.id
)
SELECT edge.from_kind, edge.from_id, edge.role, edge.to_kind, edge.to_id
FROM reached CROSS JOIN edge WHERE edge.to_kind = reached.kind AND edge.to_id = reached.id
ORDER BY edge.to_kind, edge.to_id, edge.role, edge.from_kind, edge.from_id;

-- name: newest_digest
-- The digest of the newest event, which the next one goes on from.
SELECT digest FROM event ORDER BY id DESC LIMIT 1;

-- name: add_event
-- Append what happened.
INSERT INTO event (at_us, verb, subject_kind, subject_id, actor, detail, digest)
VALUES (:at_us, :verb, :subject_kind, :subject_id, :actor, :detail, :digest);

-- name: last_event
-- When something happened last.
SELECT at_us FROM event WHERE verb = :verb ORDER BY id DESC LIMIT 1;

-- name: newest_event
-- The number of the newest event.
SELECT coalesce(max(id), 0) AS id FROM event;

-- name: events_in_a_row
-- The next events after one, as they are stored.
SELECT id, at_us, verb, subject_kind, subject_id, actor, detail, digest FROM event
WHERE id > :after ORDER BY id LIMIT :limit;

-- name: event_chain
-- The last event that was recorded before there were digests.
SELECT begins_after FROM event_chain;

-- name: events_given
-- The last number that was given to an event.
SELECT seq AS last FROM sqlite_sequence WHERE name = 'event';

-- name: events_given (postgres)
-- The same, where the numbers are a table of our own.
SELECT last FROM counter WHERE name = 'event';

-- name: end_lease
-- Make room for a new owner.
DELETE FROM lease WHERE subject = :subject;

-- name: take_lease
-- Become the owner of a thing, as of now by the clock of the database; the fencing token grows with every owner.
INSERT INTO lease (subject, host, boot, space, pid, started, awake_us, beat_us)
VALUES (:subject, :host, :boot, :space, :pid, :started, :awake_us,
    CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER))
RETURNING token;

-- name: lease_of
-- Who owns a thing, and whether the database has not heard of that owner for too long.
SELECT subject, host, boot, pid, started, token, space, awake_us,
    beat_us < CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER) - :expires_us AS expired
FROM lease WHERE subject = :subject;

-- name: all_leases
-- Who owns what, and of whom the database has not heard for too long.
SELECT subject, host, boot, pid, started, token, space, awake_us,
    beat_us < CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER) - :expires_us AS expired
FROM lease ORDER BY token;

-- name: beat
-- Say that an owner lives, when it still is the owner.
UPDATE lease SET awake_us = :awake_us, beat_us = CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)
WHERE subject = :subject AND token = :token;

-- name: take_lease (postgres)
-- The same, by the clock of the server.
INSERT INTO lease (subject, host, boot, space, pid, started, awake_us, beat_us)
VALUES (:subject, :host, :boot, :space, :pid, :started, :awake_us,
    CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT))
RETURNING token;

-- name: lease_of (postgres)
-- The same, by the clock of the server.
SELECT subject, host, boot, pid, started, token, space, awake_us,
    beat_us < CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) - :expires_us AS expired
FROM lease WHERE subject = :subject;

-- name: all_leases (postgres)
-- The same, by the clock of the server.
SELECT subject, host, boot, pid, started, token, space, awake_us,
    beat_us < CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) - :expires_us AS expired
FROM lease ORDER BY token;

-- name: beat (postgres)
-- The same, by the clock of the server.
UPDATE lease SET awake_us = :awake_us, beat_us = CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)
WHERE subject = :subject AND token = :token;

-- name: end_all_leases
-- Nobody owns anything any more.
DELETE FROM lease;

-- name: release_lease
-- Give a thing back, when this owner still has it.
DELETE FROM lease WHERE subject = :subject AND token = :token;

-- name: walk_up (postgres)
-- The same, where each column of a walk must be compared in one way from its beginning on.
WITH RECURSIVE reached (kind, id) AS (
    SELECT CAST(:kind AS TEXT) COLLATE "C", CAST(:id AS TEXT) COLLATE "C"
    UNION
    SELECT edge.to_kind, edge.to_id FROM edge JOIN reached
    ON edge.from_kind = reached.kind AND edge.from_id = reached.id
)
SELECT edge.from_kind, edge.from_id, edge.role, edge.to_kind, edge.to_id
FROM reached CROSS JOIN edge WHERE edge.from_kind = reached.kind AND edge.from_id = reached.id
ORDER BY edge.from_kind, edge.from_id, edge.role, edge.to_kind, edge.to_id;

-- name: walk_down (postgres)
-- The same, where each column of a walk must be compared in one way from its beginning on.
WITH RECURSIVE reached (kind, id) AS (
    SELECT CAST(:kind AS TEXT) COLLATE "C", CAST(:id AS TEXT) COLLATE "C"
    UNION
    SELECT edge.from_kind, edge.from_id FROM edge JOIN reached
    ON edge.to_kind = reached.kind AND edge.to_id = reached.id
)
SELECT edge.from_kind, edge.from_id, edge.role, edge.to_kind, edge.to_id
FROM reached CROSS JOIN edge WHERE edge.to_kind = reached.kind AND edge.to_id = reached.id
ORDER BY edge.to_kind, edge.to_id, edge.role, edge.from_kind, edge.from_id;

-- name: add_migration
-- Remember that a migration was applied.
INSERT INTO migration (number, name, applied_us) VALUES (:number, :name, :applied_us);
