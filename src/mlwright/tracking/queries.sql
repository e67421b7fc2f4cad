-- name: add_run
-- A run begins.
INSERT INTO run (id, project, pipeline, state, seed, created_us, pins)
VALUES (:id, :project, :pipeline, :state, :seed, :created_us, :pins);

-- name: move_run
-- Change a run's state; nothing changes when it is not in the state the mover saw.
UPDATE run SET state = :state, finished_us = :finished_us, error = :error
WHERE id = :id AND state = :was;

-- name: runs_by_prefix
-- The runs an id or its prefix can mean.
SELECT id, project, pipeline, state, seed, created_us, finished_us, error, pins FROM run
WHERE id >= :prefix AND id < :prefix || '~' ORDER BY id LIMIT 5;

-- name: newest_runs
-- The newest runs, of one pipeline and state or of all.
SELECT id, project, pipeline, state, seed, created_us, finished_us, error, pins FROM run
WHERE (:pipeline IS NULL OR pipeline = :pipeline) AND (:state IS NULL OR state = :state)
ORDER BY created_us DESC LIMIT :limit;

-- name: unfinished_runs
-- Runs that somebody should be executing.
SELECT id FROM run WHERE state = 'running';

-- name: add_param
-- A parameter of a run.
INSERT INTO param (run_id, name, value) VALUES (:run_id, :name, :value);

-- name: params_of
-- The parameters of a run.
SELECT name, value FROM param WHERE run_id = :run_id ORDER BY name;

-- name: set_metric
-- The newest value of a metric wins; a NaN is kept as NULL.
INSERT INTO metric (run_id, name, value, step, at_us) VALUES (:run_id, :name, :value, :step, :at_us)
ON CONFLICT (run_id, name) DO UPDATE SET value = excluded.value, step = excluded.step, at_us = excluded.at_us
WHERE (excluded.step, excluded.at_us) >= (metric.step, metric.at_us);

-- name: metrics_of
-- The last value of each metric of a run.
SELECT name, value, step, at_us FROM metric WHERE run_id = :run_id ORDER BY name;
