-- name: add_lock
-- A lock that something was made with; the same lock is the same row.
INSERT INTO lock (digest, pylock, python, platform, packages, created_us)
VALUES (:digest, :pylock, :python, :platform, :packages, :created_us)
ON CONFLICT DO NOTHING;

-- name: lock_by_digest
-- A lock by its digest or the beginning of it.
SELECT digest, pylock, python, platform, packages FROM lock
WHERE digest >= :prefix AND digest < :prefix || '~' LIMIT 2;
