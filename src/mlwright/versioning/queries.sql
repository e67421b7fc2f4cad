-- name: add_artifact
-- A value was made or brought in.
INSERT INTO artifact (id, codec, type, digest, size_bytes, about, ours, created_us)
VALUES (:id, :codec, :type, :digest, :size_bytes, :about, :ours, :created_us);

-- name: artifact_by_id
-- One artifact.
SELECT id, codec, type, digest, size_bytes, about, ours, created_us FROM artifact WHERE id = :id;

-- name: artifacts_by_prefix
-- The artifacts an id can mean.
SELECT id, codec, type, digest, size_bytes, about, ours, created_us FROM artifact
WHERE id >= :prefix AND id < :prefix || '~' LIMIT 2;

-- name: artifact_with_digest
-- The first artifact with these bytes, by a digest or its beginning.
SELECT artifact.id AS id, codec, type, digest, size_bytes, about, ours, created_us
FROM edge CROSS JOIN artifact
WHERE edge.to_kind IN ('object', 'tree') AND edge.to_id >= :prefix AND edge.to_id < :prefix || '~'
    AND edge.role = 'bytes' AND artifact.id = edge.from_id
ORDER BY created_us LIMIT 1;

-- name: artifact_digests
-- Whether the beginning of a digest fits one artifact's bytes or several.
SELECT DISTINCT to_id FROM edge
WHERE to_kind IN ('object', 'tree') AND to_id >= :prefix AND to_id < :prefix || '~' AND role = 'bytes' LIMIT 2;

-- name: artifacts_with_digest
-- Every artifact with bytes whose digest begins so, the oldest first.
SELECT artifact.id AS id, edge.to_kind AS kind, edge.to_id AS digest
FROM edge CROSS JOIN artifact
WHERE edge.to_kind IN ('object', 'tree') AND edge.to_id >= :prefix AND edge.to_id < :prefix || '~'
    AND edge.role = 'bytes' AND artifact.id = edge.from_id
ORDER BY artifact.created_us, artifact.id;

-- name: snapshots_of_commit
-- The snapshots that were taken at a commit, or at those whose names begin so.
SELECT digest, git_commit FROM snapshot
WHERE git_commit >= :prefix AND git_commit < :prefix || '~' ORDER BY created_us;

-- name: add_version
-- The next number under a name, or a given one; that of a version that was removed is not given again.
INSERT INTO version (id, kind, name, number, artifact_id, message, about, created_us)
SELECT :id, :kind, :name, coalesce(:number, max(number) + 1, 1), :artifact_id, :message, :about, :created_us
FROM (
    SELECT number FROM version WHERE kind = :kind AND name = :name
    UNION ALL SELECT number FROM removed WHERE kind = :kind AND name = :name
)
RETURNING number;

-- name: next_number
-- The number that the next version under a name will have.
SELECT coalesce(max(number) + 1, 1) AS number FROM (
    SELECT number FROM version WHERE kind = :kind AND name = :name
    UNION ALL SELECT number FROM removed WHERE kind = :kind AND name = :name
);

-- name: removals
-- The versions under a name that were removed, newest first; one number, or all.
SELECT number, actor, reason, at_us FROM removed
WHERE kind = :kind AND name = :name AND number = coalesce(:number, number) ORDER BY number DESC;

-- name: removal_by_id
-- What a version was called that was removed.
SELECT kind, name, number FROM removed WHERE version_id = :version_id;

-- name: add_removal
-- Remember that a version was removed.
INSERT INTO removed (version_id, kind, name, number, actor, reason, at_us)
VALUES (:version_id, :kind, :name, :number, :actor, :reason, :at_us);

-- name: remove_version
-- Take a version away.
DELETE FROM version WHERE id = :id;

-- name: remove_artifact
-- Take a value away that no version names any more.
DELETE FROM artifact WHERE id = :id AND NOT EXISTS (SELECT 1 FROM version WHERE artifact_id = :id);

-- name: add_to_search
-- Let a version be found by words.
INSERT INTO search (version_id, kind, name, tags, columns, message)
VALUES (:version_id, :kind, :name, :tags, :columns, :message);

-- name: unread_in_search
-- The next versions whose words are not in the index yet; SQLite reads them itself.
SELECT version_id, name, tags, columns, message FROM search WHERE 1 = 0 LIMIT :limit;

-- name: unread_in_search (postgres)
-- The next versions whose words are not in the index yet.
SELECT version_id, name, tags, columns, message FROM search WHERE words IS NULL ORDER BY version_id LIMIT :limit;

-- name: set_words_in_search
-- The words of a version; SQLite has read them itself.
UPDATE search SET message = message WHERE version_id = :version_id AND :lexemes IS NULL;

-- name: set_words_in_search (postgres)
-- The words of a version, each with its places and how much these count.
UPDATE search SET words = CAST(CAST(:lexemes AS TEXT) AS tsvector) WHERE version_id = :version_id;

-- name: remove_from_search
-- A version that is gone is not found.
DELETE FROM search WHERE version_id = :version_id;

-- name: columns_in_search
-- The columns that a version is found by.
SELECT columns FROM search WHERE version_id = :version_id;

-- name: set_columns_in_search
-- The columns of a file that could not be read when its version was made.
UPDATE search SET columns = :columns WHERE version_id = :version_id;

-- name: set_columns_in_search (postgres)
-- The columns of a file that could not be read when its version was made; its words are to be read again.
UPDATE search SET columns = :columns, words = NULL WHERE version_id = :version_id;

-- name: search_versions
-- The versions that hold all words, best first: a name counts most, then tags, columns, the message.
SELECT version_id, -bm25(search, 0, 0, 1000, 100, 10, 1) AS score, name, tags, columns, message
FROM search WHERE search MATCH :words AND kind = :kind ORDER BY score DESC, version_id DESC LIMIT :limit;

-- name: search_versions (postgres)
-- The same by the weights of the places where the words stand.
SELECT version_id, ts_rank('{0.001, 0.01, 0.1, 1}', words, CAST(CAST(:lexemes AS TEXT) AS tsquery)) AS score,
    name, tags, columns, message
FROM search WHERE words @@ CAST(CAST(:lexemes AS TEXT) AS tsquery) AND kind = :kind
ORDER BY score DESC, version_id DESC LIMIT :limit;

-- name: who_added
-- Who made a version.
SELECT actor FROM event WHERE verb IN ('model.added', 'dataset.added') AND subject_id = :id ORDER BY id LIMIT 1;

-- name: card_events
-- The changes of a version's card, oldest first.
SELECT at_us, actor, detail FROM event WHERE verb = 'card.changed' AND subject_id = :id ORDER BY id;

-- name: version_by_id
-- One version.
SELECT version.id, kind, name, number, artifact_id, artifact.digest AS digest, artifact.size_bytes AS size_bytes,
    message, version.about AS about, version.created_us AS created_us
FROM version JOIN artifact ON artifact.id = version.artifact_id WHERE version.id = :id;

-- name: versions_named
-- Every version under a name, newest first.
SELECT version.id, kind, name, number, artifact_id, artifact.digest AS digest, artifact.size_bytes AS size_bytes,
    message, version.about AS about, version.created_us AS created_us
FROM version JOIN artifact ON artifact.id = version.artifact_id
WHERE kind = :kind AND name = :name ORDER BY number DESC;

-- name: newest_versions
-- The newest version under each name.
SELECT version.id, kind, name, number, artifact_id, artifact.digest AS digest, artifact.size_bytes AS size_bytes,
    message, version.about AS about, version.created_us AS created_us
FROM version JOIN artifact ON artifact.id = version.artifact_id
WHERE kind = :kind AND number = (
    SELECT max(number) FROM version AS other WHERE other.kind = version.kind AND other.name = version.name
) ORDER BY name;

-- name: version_numbered
-- The version with a number.
SELECT version.id, kind, name, number, artifact_id, artifact.digest AS digest, artifact.size_bytes AS size_bytes,
    message, version.about AS about, version.created_us AS created_us
FROM version JOIN artifact ON artifact.id = version.artifact_id
WHERE kind = :kind AND name = :name AND number = :number;

-- name: version_with_digest
-- The versions under a name whose bytes have a digest that begins so.
SELECT version.id, kind, name, number, artifact_id, artifact.digest AS digest, artifact.size_bytes AS size_bytes,
    message, version.about AS about, version.created_us AS created_us
FROM version JOIN artifact ON artifact.id = version.artifact_id
WHERE kind = :kind AND name = :name AND artifact.digest >= :prefix AND artifact.digest < :prefix || '~'
ORDER BY number DESC;

-- name: names_of_kind
-- The names that have versions.
SELECT DISTINCT name FROM version WHERE kind = :kind ORDER BY name;

-- name: alias_target
-- What an alias means now.
SELECT version_id FROM alias WHERE kind = :kind AND name = :name AND alias = :alias;

-- name: aliases_of_name
-- The aliases under a name.
SELECT alias, version_id FROM alias WHERE kind = :kind AND name = :name ORDER BY alias;

-- name: set_alias
-- Point an alias at a version.
INSERT INTO alias (kind, name, alias, version_id) VALUES (:kind, :name, :alias, :version_id)
ON CONFLICT (kind, name, alias) DO UPDATE SET version_id = excluded.version_id;

-- name: remove_alias
-- An alias points nowhere any more.
DELETE FROM alias WHERE kind = :kind AND name = :name AND alias = :alias;

-- name: add_alias_move
-- Remember where an alias pointed before, who moved it and why.
INSERT INTO alias_move (kind, name, alias, from_number, to_number, actor, reason, at_us)
VALUES (:kind, :name, :alias, :from_number, :to_number, :actor, :reason, :at_us);

-- name: alias_moves
-- The history of the aliases under a name, newest first.
SELECT alias, from_number, to_number, actor, reason, at_us FROM alias_move
WHERE kind = :kind AND name = :name ORDER BY id DESC;

-- name: add_snapshot
-- The state of a project's code; the same state is the same row.
INSERT INTO snapshot (digest, tree, git_commit, git_remote, dirty, files, size_bytes, created_us)
VALUES (:digest, :tree, :git_commit, :git_remote, :dirty, :files, :size_bytes, :created_us)
ON CONFLICT DO NOTHING;

-- name: snapshot_by_digest
-- One snapshot.
SELECT digest, tree, git_commit, git_remote, dirty, files, size_bytes FROM snapshot
WHERE digest >= :prefix AND digest < :prefix || '~' LIMIT 2;

-- name: loose_edges_of_artifacts
-- Edges that lead to artifacts, or come from them, which are not there.
SELECT from_kind, from_id, role, to_kind, to_id FROM edge
WHERE (from_kind = 'artifact' AND NOT EXISTS (SELECT 1 FROM artifact WHERE id = from_id))
    OR (to_kind = 'artifact' AND NOT EXISTS (SELECT 1 FROM artifact WHERE id = to_id));

-- name: loose_edges_of_versions
-- Edges that lead to versions, or come from them, which are not there.
SELECT from_kind, from_id, role, to_kind, to_id FROM edge
WHERE (from_kind = 'version' AND NOT EXISTS (SELECT 1 FROM version WHERE id = from_id))
    OR (to_kind = 'version' AND NOT EXISTS (SELECT 1 FROM version WHERE id = to_id));

-- name: loose_edges_of_snapshots
-- Edges that lead to snapshots, or come from them, which are not there.
SELECT from_kind, from_id, role, to_kind, to_id FROM edge
WHERE (from_kind = 'snapshot' AND NOT EXISTS (SELECT 1 FROM snapshot WHERE digest = from_id))
    OR (to_kind = 'snapshot' AND NOT EXISTS (SELECT 1 FROM snapshot WHERE digest = to_id));

-- name: count_versioned
-- How many artifacts, snapshots, and versions of datasets and of models there are.
SELECT (SELECT count(*) FROM artifact) AS artifacts,
    (SELECT count(*) FROM version WHERE kind = 'dataset') AS datasets,
    (SELECT count(*) FROM version WHERE kind = 'model') AS models,
    (SELECT count(*) FROM snapshot) AS snapshots;
