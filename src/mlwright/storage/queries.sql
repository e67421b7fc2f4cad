-- name: add_inline
-- Keep a small value; the same bytes are the same row.
INSERT INTO inline (digest, data) VALUES (:digest, :data) ON CONFLICT DO NOTHING;

-- name: inline_by_digest
-- The bytes of a small value.
SELECT data FROM inline WHERE digest = :digest;

-- name: inline_known
-- Whether a small value is a row.
SELECT digest FROM inline WHERE digest = :digest;

-- name: inline_sizes
-- The names and sizes of all small values.
SELECT digest, length(data) AS size_bytes FROM inline;

-- name: inline_after
-- The next small values, in the order of their digests.
SELECT digest, data FROM inline WHERE digest > :after ORDER BY digest LIMIT :limit;

-- name: remove_inline
-- Forget a small value.
DELETE FROM inline WHERE digest = :digest;

-- name: packed_by_digest
-- Where a small file or a piece of a large one lies.
SELECT pack, start, size_bytes FROM packed WHERE digest = :digest;

-- name: packed_any
-- Whether anything is packed at all.
SELECT digest FROM packed LIMIT 1;

-- name: packed_in
-- What lies in a pack, in the order of its bytes.
SELECT digest, start, size_bytes FROM packed WHERE pack = :pack ORDER BY start;

-- name: packed_all
-- All that is packed, by packs.
SELECT digest, pack, start, size_bytes FROM packed ORDER BY pack, start;

-- name: add_packed
-- Bytes lie in a pack now; where they lay before counts no more.
INSERT INTO packed (digest, pack, start, size_bytes) VALUES (:digest, :pack, :start, :size_bytes)
ON CONFLICT (digest) DO UPDATE SET
    pack = excluded.pack, start = excluded.start, size_bytes = excluded.size_bytes;

-- name: remove_packed
-- A pack is gone, with all that lay in it.
DELETE FROM packed WHERE pack = :pack;

-- name: remove_packed_one
-- Forget where bytes lie.
DELETE FROM packed WHERE digest = :digest;

-- name: chunked_by_digest
-- The recipe of a large file that is kept in pieces.
SELECT recipe, size_bytes FROM chunked WHERE digest = :digest;

-- name: chunked_all
-- All large files that are kept in pieces.
SELECT digest, recipe, size_bytes FROM chunked;

-- name: add_chunked
-- A large file is kept in pieces.
INSERT INTO chunked (digest, recipe, size_bytes) VALUES (:digest, :recipe, :size_bytes)
ON CONFLICT (digest) DO UPDATE SET recipe = excluded.recipe;

-- name: remove_chunked
-- Forget a large file that was kept in pieces.
DELETE FROM chunked WHERE digest = :digest;

-- name: packs
-- The objects in which anything is packed.
SELECT DISTINCT pack FROM packed;

-- name: inline_unnamed
-- The small values that nothing names any more.
SELECT digest, length(data) AS size_bytes FROM inline
WHERE NOT EXISTS (SELECT 1 FROM edge WHERE edge.to_kind = 'object' AND edge.to_id = inline.digest);

-- name: remove_unnamed
-- Forget a small value, unless something names it by now.
DELETE FROM inline WHERE digest = :digest
AND NOT EXISTS (SELECT 1 FROM edge WHERE edge.to_kind = 'object' AND edge.to_id = :digest);
