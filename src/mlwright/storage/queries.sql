-- name: add_inline
-- Keep a small value; the same bytes are the same row.
INSERT INTO inline (digest, data) VALUES (:digest, :data) ON CONFLICT DO NOTHING;

-- name: inline_by_digest
-- The bytes of a small value.
SELECT data FROM inline WHERE digest = :digest;

-- name: inline_sizes
-- The names and sizes of all small values.
SELECT digest, length(data) AS size_bytes FROM inline;

-- name: inline_after
-- The next small values, in the order of their digests.
SELECT digest, data FROM inline WHERE digest > :after ORDER BY digest LIMIT :limit;

-- name: remove_inline
-- Forget a small value.
DELETE FROM inline WHERE digest = :digest;
