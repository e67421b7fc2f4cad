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

-- name: remove_name_from_search
-- No version under a name is found any more: the index is read through once, not once for each.
DELETE FROM search WHERE kind = :kind AND name = :name;

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

-- name: ensure_registered
-- A model's name is registered with its first version; with each one it has changed.
INSERT INTO registered_model (name, description, created_us, updated_us) VALUES (:name, '', :at_us, :at_us)
ON CONFLICT (name) DO UPDATE SET updated_us = excluded.updated_us;

-- name: add_registered
-- A model's name is registered, before there is a version.
INSERT INTO registered_model (name, description, created_us, updated_us)
VALUES (:name, :description, :at_us, :at_us);

-- name: registered_named
-- What is known of a model's name.
SELECT name, description, created_us, updated_us FROM registered_model WHERE name = :name;

-- name: describe_registered
-- What a model's name stands for, in words.
UPDATE registered_model SET description = :description, updated_us = :at_us WHERE name = :name;

-- name: touch_registered
-- Something of a model has changed.
UPDATE registered_model SET updated_us = :at_us WHERE name = :name;

-- name: remove_registered
-- A model's name is registered no more.
DELETE FROM registered_model WHERE name = :name;

-- name: registered_tags
-- The tags of a model's name.
SELECT name, value FROM registered_model_tag WHERE model = :model ORDER BY name;

-- name: set_registered_tag
-- A tag of a model's name.
INSERT INTO registered_model_tag (model, name, value) VALUES (:model, :name, :value)
ON CONFLICT (model, name) DO UPDATE SET value = excluded.value;

-- name: drop_registered_tag
-- A tag is taken from a model's name.
DELETE FROM registered_model_tag WHERE model = :model AND name = :name;

-- name: rename_registered
-- A model's name becomes another; its tags go with it.
UPDATE registered_model SET name = :new, updated_us = :at_us WHERE name = :name;

-- name: rename_versions
-- The versions of a model go with its name.
UPDATE version SET name = :new WHERE kind = 'model' AND name = :name;

-- name: rename_aliases
-- The aliases of a model go with its name.
UPDATE alias SET name = :new WHERE kind = 'model' AND name = :name;

-- name: rename_alias_moves
-- The history of the aliases of a model goes with its name.
UPDATE alias_move SET name = :new WHERE kind = 'model' AND name = :name;

-- name: rename_removals
-- The numbers of a model that are not given again go with its name.
UPDATE removed SET name = :new WHERE kind = 'model' AND name = :name;

-- name: rename_in_search
-- The versions of a model are found by its name.
UPDATE search SET name = :new WHERE kind = 'model' AND name = :name;

-- name: rename_in_search (postgres)
-- The versions of a model are found by its name; their words are to be read again.
UPDATE search SET name = :new, words = NULL WHERE kind = 'model' AND name = :name;

-- name: made_here_under
-- A version under a model's name that was not reported by a client.
SELECT number FROM version WHERE kind = 'model' AND name = :name
    AND NOT EXISTS (SELECT 1 FROM reported_version WHERE version_id = version.id AND source <> '')
ORDER BY number LIMIT 1;

-- name: aliases_of_version
-- The aliases that mean a version now.
SELECT alias FROM alias WHERE version_id = :version_id ORDER BY alias;

-- name: numbers_of_aliases
-- What each alias of a model means, by number.
SELECT alias, number FROM alias JOIN version ON version.id = alias.version_id
WHERE alias.kind = 'model' AND alias.name = :name ORDER BY alias;

-- name: reported_by_number
-- A version of a model as a client knows it.
SELECT version.id AS id, version.name AS name, number, artifact_id, digest, size_bytes, version.message AS message,
    version.created_us AS created_us, description, stage, source, run_id, run_link, model_id, updated_us,
    (SELECT to_id FROM edge WHERE from_kind = 'version' AND from_id = version.id AND role = 'run' LIMIT 1) AS run
FROM version JOIN artifact ON artifact.id = version.artifact_id
LEFT JOIN reported_version ON version_id = version.id
WHERE version.kind = 'model' AND version.name = :name AND number = coalesce(:number, number) ORDER BY number;

-- name: reported_by_id
-- A version of a model as a client knows it, by its id.
SELECT version.id AS id, version.name AS name, number, artifact_id, digest, size_bytes, version.message AS message,
    version.created_us AS created_us, description, stage, source, run_id, run_link, model_id, updated_us,
    (SELECT to_id FROM edge WHERE from_kind = 'version' AND from_id = version.id AND role = 'run' LIMIT 1) AS run
FROM version JOIN artifact ON artifact.id = version.artifact_id
LEFT JOIN reported_version ON version_id = version.id
WHERE version.kind = 'model' AND version.id = :id;

-- name: newest_by_stage
-- The newest version of a model in each stage.
SELECT max(number) AS number FROM version LEFT JOIN reported_version ON version_id = version.id
WHERE version.kind = 'model' AND version.name = :name GROUP BY coalesce(stage, 'None') ORDER BY number;

-- name: set_reported
-- What a client says of a version.
INSERT INTO reported_version (version_id, description, stage, source, run_id, run_link, model_id, updated_us)
VALUES (:version_id, :description, :stage, :source, :run_id, :run_link, :model_id, :at_us)
ON CONFLICT (version_id) DO UPDATE SET description = excluded.description, stage = excluded.stage,
    updated_us = excluded.updated_us;

-- name: version_tags
-- The tags that a client gave a version.
SELECT name, value FROM version_tag WHERE version_id = :version_id ORDER BY name;

-- name: set_version_tag
-- A tag of a version.
INSERT INTO version_tag (version_id, name, value) VALUES (:version_id, :name, :value)
ON CONFLICT (version_id, name) DO UPDATE SET value = excluded.value;

-- name: drop_version_tag
-- A tag is taken from a version.
DELETE FROM version_tag WHERE version_id = :version_id AND name = :name;

-- name: conversion_of
-- What became of converting a version, with the bytes that it gave.
SELECT used, why, conversion.about AS about, artifact_id, digest, size_bytes, conversion.created_us AS created_us
FROM conversion LEFT JOIN artifact ON artifact.id = conversion.artifact_id WHERE version_id = :version_id;

-- name: add_conversion
-- A version was converted, or could not be.
INSERT INTO conversion (version_id, used, why, about, artifact_id, created_us)
VALUES (:version_id, :used, :why, :about, :artifact_id, :created_us);

-- name: remove_conversion
-- Take a conversion away, with its version or before another one.
DELETE FROM conversion WHERE version_id = :version_id;

-- name: apart_of
-- Why the packages of a version and the server's cannot be had together.
SELECT why, asked, created_us FROM apart WHERE version_id = :version_id;

-- name: add_apart
-- The packages of a version and the server's were found to exclude each other.
INSERT INTO apart (version_id, why, asked, created_us) VALUES (:version_id, :why, :asked, :created_us);

-- name: remove_apart
-- Take that away, with its version or before another finding.
DELETE FROM apart WHERE version_id = :version_id;

-- name: add_prediction_batch
-- Records of what a version answered were brought in; none, if these bytes were before.
INSERT INTO prediction_batch (id, version_id, digest, first_us, last_us, records, answers)
VALUES (:id, :version_id, :digest, :first_us, :last_us, :records, :answers)
ON CONFLICT (version_id, digest) DO NOTHING RETURNING id;

-- name: prediction_batches
-- The batches of a model, of one of its versions, or of all models, that end before a place, newest first.
SELECT prediction_batch.id AS id, version_id, digest, first_us, last_us, records, answers
FROM prediction_batch JOIN version ON version.id = version_id
WHERE (:name = '' OR name = :name) AND (:number = 0 OR number = :number)
    AND (last_us, prediction_batch.id) < (:last_us, :before)
ORDER BY last_us DESC, prediction_batch.id DESC LIMIT :limit;

-- name: remove_prediction_batch
-- A batch is taken away.
DELETE FROM prediction_batch WHERE id = :id RETURNING id;

-- name: loose_edges_of_prediction_batches
-- Edges that come from batches of predictions which are not there.
SELECT from_kind, from_id, role, to_kind, to_id FROM edge
WHERE from_kind = 'prediction_batch' AND NOT EXISTS (SELECT 1 FROM prediction_batch WHERE id = from_id);
