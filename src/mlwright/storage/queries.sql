-- name: add_inline
-- Keep a small value; the same bytes are the same row.
INSERT INTO inline (digest, data) VALUES (:digest, :data) ON CONFLICT DO NOTHING;

-- name: inline_by_digest
-- The bytes of a small value.
SELECT data FROM inline WHERE digest = :digest;

-- name: inline_sizes
-- The names and sizes of all small values.
SELECT digest, length(data) AS size_bytes FROM inline;

-- name: remove_inline
-- Forget a small value.
DELETE FROM inline WHERE digest = :digest;
