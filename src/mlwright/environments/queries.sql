-- name: add_lock
-- A lock that something was made with; the same lock is the same row.
INSERT INTO lock (digest, pylock, python, platform, packages, created_us)
VALUES (:digest, :pylock, :python, :platform, :packages, :created_us)
ON CONFLICT DO NOTHING;

-- name: lock_by_digest
-- A lock by its digest or the beginning of it.
SELECT digest, pylock, python, platform, packages FROM lock
WHERE digest >= :prefix AND digest < :prefix || '~' LIMIT 2;

-- name: all_locks
-- Every lock that is recorded, newest first.
SELECT digest, pylock, python, platform, packages FROM lock ORDER BY created_us DESC, digest;

-- name: lock_users
-- The newest run that each lock was used by, under each name.
SELECT to_id AS digest, role, max(from_id) AS run FROM edge
WHERE to_kind = 'lock' AND from_kind = 'run' GROUP BY to_id, role;

-- name: loose_edges
-- Edges that lead to locks, or come from them, which are not there.
SELECT from_kind, from_id, role, to_kind, to_id FROM edge
WHERE (from_kind = 'lock' AND NOT EXISTS (SELECT 1 FROM lock WHERE digest = from_id))
    OR (to_kind = 'lock' AND NOT EXISTS (SELECT 1 FROM lock WHERE digest = to_id));

-- name: count_locks
-- How many locks there are.
SELECT count(*) AS locks FROM lock;
