

-- name: add_run
-- A run begins.
INSERT INTO run (id, project, pipeline, state, seed, created_us, pins, kind, machine, about, experiment_id, name)
VALUES (:id, :project, :pipeline, :state, :seed, :created_us, :pins, :kind, :machine, :about, :experiment_id, :name);

-- name: adopt_run
-- A run that was made in another workspace.
INSERT INTO run (id, project, pipeline, state, seed, created_us, finished_us, error, pins, kind, wanted, machine,
    about, experiment_id, started_us)
VALUES (:id, :project, :pipeline, :state, :seed, :created_us, :finished_us, :error, :pins, :kind, :wanted, :machine,
    :about, :experiment_id, :started_us);

-- name: start_run
-- A run begins that has waited.
UPDATE run SET state = 'running', started_us = :started_us, pins = :pins, machine = :machine, about = :about
WHERE id = :id AND state = 'scheduled';

-- name: drop_params
-- What was asked for makes room for what that means.
DELETE FROM param WHERE run_id = :run_id AND logged = 0;

-- name: waiting_runs
-- The runs of a project that wait for their begin, oldest first.
SELECT id FROM run
WHERE state = 'scheduled' AND kind <> 'reported' AND project = :project ORDER BY created_us, id;

-- name: started_runs
-- The runs of a project that have waited, and go on.
SELECT id FROM run
WHERE state = 'running' AND kind <> 'reported' AND started_us IS NOT NULL AND project = :project;

-- name: want_cancelled
-- Somebody asks for the end of a run.
UPDATE run SET wanted = 'cancelled' WHERE id = :id AND state = 'running';

-- name: wanted_cancelled
-- The run, if somebody asked for its end.
SELECT id FROM run WHERE id = :id AND wanted = 'cancelled';

-- name: move_run
-- Change a run's state; nothing changes when it is not in the state the mover saw.
UPDATE run SET state = :state, finished_us = :finished_us, error = :error
WHERE id = :id AND state = :was;

-- name: runs_by_prefix
-- The runs an id or its prefix can mean.
SELECT id, project, pipeline, state, seed, created_us, finished_us, error, pins, kind,
    wanted, machine, about, experiment_id, name, deleted_us, started_us FROM run
WHERE id >= :prefix AND id < :prefix || '~' ORDER BY id LIMIT 5;

-- name: newest_run
-- The run that began last, or so many before it; comparisons, and runs reported from outside, do not count.
SELECT id, project, pipeline, state, seed, created_us, finished_us, error, pins, kind,
    wanted, machine, about, experiment_id, name, deleted_us, started_us FROM run
WHERE kind NOT IN ('comparison', 'reported') AND deleted_us IS NULL
ORDER BY created_us DESC, id DESC LIMIT 1 OFFSET :back;

-- name: count_runs
-- How many runs there are, apart from comparisons, runs reported from outside, and what was deleted.
SELECT count(*) AS runs FROM run WHERE kind NOT IN ('comparison', 'reported') AND deleted_us IS NULL;

-- name: newest_success
-- The newest run of a pipeline that succeeded.
SELECT id, project, pipeline, state, seed, created_us, finished_us, error, pins, kind,
    wanted, machine, about, experiment_id, name, deleted_us, started_us FROM run
WHERE pipeline = :pipeline AND state = 'succeeded' AND kind <> 'reported' ORDER BY created_us DESC LIMIT 1;

-- name: unfinished_runs
-- Runs that somebody should be executing here.
SELECT id, created_us FROM run WHERE state = 'running' AND kind <> 'reported';

-- name: add_param
-- A parameter of a run.
INSERT INTO param (run_id, name, value, text) VALUES (:run_id, :name, :value, :text);

-- name: params_of
-- The parameters a run was given, or those that its steps logged.
SELECT name, value FROM param WHERE run_id = :run_id AND logged = :logged ORDER BY name;

-- name: params_named
-- What a run has under a name, and under the name that a step's own value gets.
SELECT name, value FROM param WHERE run_id = :run_id AND name IN (:name, :own);

-- name: set_param
-- What a step set, under the name it was given.
INSERT INTO param (run_id, name, value, text, logged) VALUES (:run_id, :name, :value, :text, 1)
ON CONFLICT (run_id, name) DO UPDATE SET value = excluded.value, text = excluded.text;

-- name: set_metric
-- The last value of a metric, and where its points are; a NaN is kept as NULL.
INSERT INTO metric (run_id, name, value, bits, step, at_us, sealed, open, experiment_id)
VALUES (:run_id, :name, :value, :bits, :step, :at_us, :sealed, :open, :experiment_id)
ON CONFLICT (run_id, name) DO UPDATE SET value = excluded.value, bits = excluded.bits, step = excluded.step,
    at_us = excluded.at_us, sealed = excluded.sealed, open = excluded.open;

-- name: metrics_of
-- The last value of each metric of a run.
SELECT name, value, bits, step, at_us FROM metric WHERE run_id = :run_id ORDER BY name;

-- name: loose_edges
-- Edges that lead to runs, or come from them, which are not there.
SELECT from_kind, from_id, role, to_kind, to_id FROM edge
WHERE (from_kind = 'run' AND NOT EXISTS (SELECT 1 FROM run WHERE id = from_id))
    OR (to_kind = 'run' AND NOT EXISTS (SELECT 1 FROM run WHERE id = to_id));

-- name: experiment_of_run
-- Which experiment a run belongs to.
SELECT experiment_id FROM run WHERE id = :id;

-- name: head_of
-- The last value of a metric, and where its points are.
SELECT name, value, bits, step, at_us, sealed, open FROM metric WHERE run_id = :run_id AND name = :name;

-- name: heads_of
-- The last value of each metric of a run, and where its points are.
SELECT name, value, bits, step, at_us, sealed, open FROM metric WHERE run_id = :run_id;

-- name: add_point
-- Open points of a metric, as many as were told at once.
INSERT INTO point (run_id, name, number, data) VALUES (:run_id, :name, :number, :data);

-- name: points_of
-- The open points of a metric.
SELECT data FROM point WHERE run_id = :run_id AND name = :name ORDER BY number;

-- name: drop_points
-- The open points of a metric become a chunk.
DELETE FROM point WHERE run_id = :run_id AND name = :name;

-- name: add_chunk
-- What is known of sealed points.
INSERT INTO chunk (run_id, name, number, points, first_step, last_step, first_us, last_us,
    lowest, lowest_step, lowest_us, highest, highest_step, highest_us)
VALUES (:run_id, :name, :number, :points, :first_step, :last_step, :first_us, :last_us,
    :lowest, :lowest_step, :lowest_us, :highest, :highest_step, :highest_us);

-- name: add_chunk_data
-- Sealed points.
INSERT INTO chunk_data (run_id, name, number, data) VALUES (:run_id, :name, :number, :data);

-- name: chunks_around
-- The chunks of a metric in which points of some steps and moments can be.
SELECT number, first_step, last_step, first_us, last_us FROM chunk
WHERE run_id = :run_id AND name = :name AND last_us >= :from_us AND first_us <= :to_us
    AND last_step >= :from_step AND first_step <= :to_step
ORDER BY number;

-- name: chunks_from
-- The chunks of a metric that have points of a moment or later.
SELECT number, first_us, first_step, last_us, last_step FROM chunk
WHERE run_id = :run_id AND name = :name AND last_us >= :from_us ORDER BY first_us, first_step, number;

-- name: chunks_of
-- What is known of the chunks of a metric in which points of some steps can be.
SELECT number, points, first_step, last_step, lowest, lowest_step, lowest_us, highest, highest_step, highest_us
FROM chunk WHERE run_id = :run_id AND name = :name AND last_step >= :from_step AND first_step <= :to_step
ORDER BY first_us, number;

-- name: chunk_data_of
-- The points of a chunk.
SELECT data FROM chunk_data WHERE run_id = :run_id AND name = :name AND number = :number;

-- name: add_experiment
-- An experiment begins.
INSERT INTO experiment (name, created_us, updated_us) VALUES (:name, :at_us, :at_us);

-- name: experiment_by_id
-- An experiment.
SELECT id, name, created_us, updated_us, deleted_us FROM experiment WHERE id = :id;

-- name: experiment_named
-- The experiment that has a name, deleted or not.
SELECT id, name, created_us, updated_us, deleted_us FROM experiment WHERE name = :name;

-- name: experiment_tags
-- The tags of an experiment.
SELECT name, value FROM experiment_tag WHERE experiment_id = :experiment_id ORDER BY name;

-- name: set_experiment_tag
-- A tag of an experiment.
INSERT INTO experiment_tag (experiment_id, name, value) VALUES (:experiment_id, :name, :value)
ON CONFLICT (experiment_id, name) DO UPDATE SET value = excluded.value;

-- name: drop_experiment_tag
-- A tag is taken from an experiment.
DELETE FROM experiment_tag WHERE experiment_id = :experiment_id AND name = :name;

-- name: rename_experiment
-- An experiment gets another name.
UPDATE experiment SET name = :name, updated_us = :at_us WHERE id = :id;

-- name: mark_experiment
-- An experiment is deleted, or restored.
UPDATE experiment SET deleted_us = :deleted_us, updated_us = :at_us WHERE id = :id;

-- name: mark_runs_of_experiment
-- The runs of an experiment are deleted, or restored, with it.
UPDATE run SET deleted_us = :deleted_us WHERE experiment_id = :id;

-- name: touch_experiment
-- An experiment was changed.
UPDATE experiment SET updated_us = :at_us WHERE id = :id;

-- name: add_reported_run
-- A run that is reported from outside begins.
INSERT INTO run (id, project, pipeline, state, seed, created_us, pins, kind, experiment_id, name)
VALUES (:id, '', '', 'running', 0, :created_us, '{}', 'reported', :experiment_id, :name);

-- name: run_by_id
-- A run.
SELECT id, project, pipeline, state, seed, created_us, finished_us, error, pins, kind,
    wanted, machine, about, experiment_id, name, deleted_us, started_us FROM run WHERE id = :id;

-- name: report_run
-- What a client says of its run.
UPDATE run SET state = :state, finished_us = :finished_us, name = :name WHERE id = :id;

-- name: mark_run
-- A run is deleted, or restored.
UPDATE run SET deleted_us = :deleted_us WHERE id = :id;

-- name: param_texts
-- The parameters of a run as text.
SELECT name, text FROM param WHERE run_id = :run_id;

-- name: param_text
-- A parameter of a run as text.
SELECT name, text FROM param WHERE run_id = :run_id AND name = :name;

-- name: set_tag
-- A tag of a run.
INSERT INTO tag (run_id, name, value) VALUES (:run_id, :name, :value)
ON CONFLICT (run_id, name) DO UPDATE SET value = excluded.value;

-- name: drop_tag
-- A tag is taken from a run.
DELETE FROM tag WHERE run_id = :run_id AND name = :name;

-- name: add_input
-- A dataset that a run has read; of one that it told of before, the first word counts.
INSERT INTO input (run_id, name, hash, source_type, source, schema, profile, tags, context)
VALUES (:run_id, :name, :hash, :source_type, :source, :schema, :profile, :tags, :context)
ON CONFLICT (run_id, name, hash) DO NOTHING;

-- name: metrics_of_runs
-- The last values of runs, whose ids stand one behind the other.
WITH RECURSIVE wanted (id, rest) AS (
    SELECT substr(CAST(:ids AS TEXT), 1, 26), substr(CAST(:ids AS TEXT), 27)
    UNION ALL SELECT substr(rest, 1, 26), substr(rest, 27) FROM wanted WHERE rest <> ''
)
SELECT metric.run_id, metric.name, metric.value, metric.bits, metric.step, metric.at_us
FROM wanted JOIN metric ON metric.run_id = wanted.id ORDER BY metric.run_id, metric.name;

-- name: params_of_runs
-- The parameters of runs, whose ids stand one behind the other.
WITH RECURSIVE wanted (id, rest) AS (
    SELECT substr(CAST(:ids AS TEXT), 1, 26), substr(CAST(:ids AS TEXT), 27)
    UNION ALL SELECT substr(rest, 1, 26), substr(rest, 27) FROM wanted WHERE rest <> ''
)
SELECT param.run_id, param.name, param.text
FROM wanted JOIN param ON param.run_id = wanted.id ORDER BY param.run_id, param.name;

-- name: tags_of_runs
-- The tags of runs, whose ids stand one behind the other.
WITH RECURSIVE wanted (id, rest) AS (
    SELECT substr(CAST(:ids AS TEXT), 1, 26), substr(CAST(:ids AS TEXT), 27)
    UNION ALL SELECT substr(rest, 1, 26), substr(rest, 27) FROM wanted WHERE rest <> ''
)
SELECT tag.run_id, tag.name, tag.value
FROM wanted JOIN tag ON tag.run_id = wanted.id ORDER BY tag.run_id, tag.name;

-- name: inputs_of_runs
-- The datasets that runs have read, whose ids stand one behind the other.
WITH RECURSIVE wanted (id, rest) AS (
    SELECT substr(CAST(:ids AS TEXT), 1, 26), substr(CAST(:ids AS TEXT), 27)
    UNION ALL SELECT substr(rest, 1, 26), substr(rest, 27) FROM wanted WHERE rest <> ''
)
SELECT input.run_id, input.name, input.hash, input.source_type, input.source, input.schema, input.profile,
    input.tags
FROM wanted JOIN input ON input.run_id = wanted.id ORDER BY input.run_id, input.name, input.hash;

-- name: sizes_of_runs
-- How many bytes of text were reported of runs, whose ids stand one behind the other.
WITH RECURSIVE wanted (id, rest) AS (
    SELECT substr(CAST(:ids AS TEXT), 1, 26), substr(CAST(:ids AS TEXT), 27)
    UNION ALL SELECT substr(rest, 1, 26), substr(rest, 27) FROM wanted WHERE rest <> ''
)
SELECT id, coalesce((SELECT sum(octet_length(param.text)) FROM param WHERE run_id = id), 0)
    + coalesce((SELECT sum(octet_length(tag.value)) FROM tag WHERE run_id = id), 0)
    + coalesce((
        SELECT sum(octet_length(source) + octet_length(schema) + octet_length(profile) + octet_length(input.tags))
        FROM input WHERE run_id = id
    ), 0) AS bytes
FROM wanted;

-- name: input_bytes
-- How many bytes the datasets take that a run has read.
SELECT coalesce(sum(octet_length(name) + octet_length(hash) + octet_length(source) + octet_length(schema)
    + octet_length(profile) + octet_length(tags)), 0) AS bytes FROM input WHERE run_id = :run_id;

-- name: tags_of_experiments
-- The tags of experiments, whose ids stand one behind the other, each in 20 digits.
WITH RECURSIVE wanted (id, rest) AS (
    SELECT CAST(substr(:ids, 1, 20) AS BIGINT), substr(:ids, 21)
    UNION ALL SELECT CAST(substr(rest, 1, 20) AS BIGINT), substr(rest, 21) FROM wanted WHERE rest <> ''
)
SELECT experiment_tag.experiment_id, experiment_tag.name, experiment_tag.value
FROM wanted JOIN experiment_tag ON experiment_tag.experiment_id = wanted.id
ORDER BY experiment_tag.experiment_id, experiment_tag.name;

-- name: add_logged_model
-- A model that a client logs; its files come later.
INSERT INTO logged_model (id, experiment_id, run_id, name, type, state, state_message, created_us, updated_us)
VALUES (:id, :experiment_id, :run_id, :name, :type, 'pending', '', :at_us, :at_us);

-- name: move_logged_model
-- The files of a model are complete, or will not come.
UPDATE logged_model SET state = :state, state_message = :message, updated_us = :at_us WHERE id = :id;

-- name: mark_logged_model
-- A logged model is deleted.
UPDATE logged_model SET deleted_us = :at_us, updated_us = :at_us WHERE id = :id;

-- name: touch_logged_model
-- A logged model was changed.
UPDATE logged_model SET updated_us = :at_us WHERE id = :id;

-- name: set_logged_model_text
-- A parameter or a tag of a logged model.
INSERT INTO logged_model_text (model_id, kind, name, value) VALUES (:model_id, :kind, :name, :value)
ON CONFLICT (model_id, kind, name) DO UPDATE SET value = excluded.value;

-- name: drop_logged_model_tag
-- A tag is taken from a logged model.
DELETE FROM logged_model_text WHERE model_id = :model_id AND kind = 'tag' AND name = :name;

-- name: set_logged_model_metric
-- What a run measured of a model: the value with the highest step, and the latest among those.
INSERT INTO logged_model_metric (model_id, run_id, name, value, bits, step, at_us, dataset_name, dataset_hash)
VALUES (:model_id, :run_id, :name, :value, :bits, :step, :at_us, :dataset_name, :dataset_hash)
ON CONFLICT (model_id, run_id, name, dataset_name, dataset_hash) DO UPDATE SET value = excluded.value,
    bits = excluded.bits, step = excluded.step, at_us = excluded.at_us
WHERE (excluded.step, excluded.at_us) >= (logged_model_metric.step, logged_model_metric.at_us);

-- name: link_logged_model
-- A run has read a model, or made it.
INSERT INTO run_model (run_id, model_id, way, step) VALUES (:run_id, :model_id, :way, :step)
ON CONFLICT (run_id, model_id, way) DO UPDATE SET step = excluded.step;

-- name: logged_models
-- Logged models, whose ids stand one behind the other.
WITH RECURSIVE wanted (id, rest) AS (
    SELECT substr(CAST(:ids AS TEXT), 1, 34), substr(CAST(:ids AS TEXT), 35)
    UNION ALL SELECT substr(rest, 1, 34), substr(rest, 35) FROM wanted WHERE rest <> ''
)
SELECT logged_model.id, experiment_id, run_id, name, type, state, state_message, created_us, updated_us, deleted_us
FROM wanted JOIN logged_model ON logged_model.id = wanted.id;

-- name: logged_model_texts
-- The parameters and tags of logged models, whose ids stand one behind the other.
WITH RECURSIVE wanted (id, rest) AS (
    SELECT substr(CAST(:ids AS TEXT), 1, 34), substr(CAST(:ids AS TEXT), 35)
    UNION ALL SELECT substr(rest, 1, 34), substr(rest, 35) FROM wanted WHERE rest <> ''
)
SELECT model_id, kind, name, value FROM wanted JOIN logged_model_text ON model_id = wanted.id
ORDER BY model_id, kind, name;

-- name: logged_model_metrics
-- What was measured of logged models, whose ids stand one behind the other.
WITH RECURSIVE wanted (id, rest) AS (
    SELECT substr(CAST(:ids AS TEXT), 1, 34), substr(CAST(:ids AS TEXT), 35)
    UNION ALL SELECT substr(rest, 1, 34), substr(rest, 35) FROM wanted WHERE rest <> ''
)
SELECT model_id, run_id, name, value, bits, step, at_us, dataset_name, dataset_hash
FROM wanted JOIN logged_model_metric ON model_id = wanted.id
ORDER BY model_id, name, run_id, dataset_name, dataset_hash;

-- name: models_of_runs
-- The logged models that runs have read or made; the runs' ids stand one behind the other.
WITH RECURSIVE wanted (id, rest) AS (
    SELECT substr(CAST(:ids AS TEXT), 1, 26), substr(CAST(:ids AS TEXT), 27)
    UNION ALL SELECT substr(rest, 1, 26), substr(rest, 27) FROM wanted WHERE rest <> ''
)
SELECT run_model.run_id, model_id, way, step FROM wanted JOIN run_model ON run_model.run_id = wanted.id
ORDER BY run_model.run_id, way, step, model_id;

-- name: set_file
-- A file is stored at a place, over what was there.
INSERT INTO file (place, digest, size_bytes, created_us) VALUES (:place, :digest, :size_bytes, :created_us)
ON CONFLICT (place) DO UPDATE SET
    digest = excluded.digest, size_bytes = excluded.size_bytes, created_us = excluded.created_us;

-- name: file_at
-- The file at a place.
SELECT place, digest, size_bytes, created_us FROM file WHERE place = :place;

-- name: files_in
-- The next files in a range of places.
SELECT place, digest, size_bytes FROM file WHERE place >= :first AND place < :end ORDER BY place LIMIT :limit;

-- name: remove_file
-- Forget a file.
DELETE FROM file WHERE place = :place;

-- name: count_files
-- How many files clients have stored.
SELECT count(*) AS files FROM file;

-- name: owner_run
-- The run whose files lie in a folder.
SELECT experiment_id, kind, deleted_us FROM run WHERE id = :id;

-- name: owner_logged_model
-- The logged model whose files lie in a folder.
SELECT experiment_id, deleted_us FROM logged_model WHERE id = :id;

-- name: loose_edges_of_files
-- Edges of files that are not there.
SELECT from_kind, from_id, role, to_kind, to_id FROM edge
WHERE from_kind = 'file' AND NOT EXISTS (SELECT 1 FROM file WHERE place = from_id);
