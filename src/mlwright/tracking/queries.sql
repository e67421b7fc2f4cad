-- name: add_run
-- A run begins.
INSERT INTO run (id, project, pipeline, state, seed, created_us, pins, kind, machine, about)
VALUES (:id, :project, :pipeline, :state, :seed, :created_us, :pins, :kind, :machine, :about);

-- name: adopt_run
-- A run that was made in another workspace.
INSERT INTO run (id, project, pipeline, state, seed, created_us, finished_us, error, pins, kind, wanted, machine, about)
VALUES (:id, :project, :pipeline, :state, :seed, :created_us, :finished_us, :error, :pins, :kind, :wanted, :machine,
    :about);

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
    wanted, machine, about FROM run
WHERE id >= :prefix AND id < :prefix || '~' ORDER BY id LIMIT 5;

-- name: newest_run
-- The run that began last, or so many before it; comparisons of models do not count.
SELECT id, project, pipeline, state, seed, created_us, finished_us, error, pins, kind,
    wanted, machine, about FROM run
WHERE kind != 'comparison' ORDER BY created_us DESC, id DESC LIMIT 1 OFFSET :back;

-- name: count_runs
-- How many runs there are, comparisons of models apart.
SELECT count(*) AS runs FROM run WHERE kind != 'comparison';

-- name: newest_success
-- The newest run of a pipeline that succeeded.
SELECT id, project, pipeline, state, seed, created_us, finished_us, error, pins, kind,
    wanted, machine, about FROM run
WHERE pipeline = :pipeline AND state = 'succeeded' ORDER BY created_us DESC LIMIT 1;

-- name: unfinished_runs
-- Runs that somebody should be executing.
SELECT id, created_us FROM run WHERE state = 'running';

-- name: add_param
-- A parameter of a run.
INSERT INTO param (run_id, name, value) VALUES (:run_id, :name, :value);

-- name: params_of
-- The parameters a run was given, or those that its steps logged.
SELECT name, value FROM param WHERE run_id = :run_id AND logged = :logged ORDER BY name;

-- name: params_named
-- What a run has under a name, and under the name that a step's own value gets.
SELECT name, value FROM param WHERE run_id = :run_id AND name IN (:name, :own);

-- name: set_param
-- What a step set, under the name it was given.
INSERT INTO param (run_id, name, value, logged) VALUES (:run_id, :name, :value, 1)
ON CONFLICT (run_id, name) DO UPDATE SET value = excluded.value;

-- name: set_metric
-- The newest value of a metric wins; a NaN is kept as NULL.
INSERT INTO metric (run_id, name, value, step, at_us) VALUES (:run_id, :name, :value, :step, :at_us)
ON CONFLICT (run_id, name) DO UPDATE SET value = excluded.value, step = excluded.step, at_us = excluded.at_us
WHERE (excluded.step, excluded.at_us) >= (metric.step, metric.at_us);

-- name: metrics_of
-- The last value of each metric of a run.
SELECT name, value, step, at_us FROM metric WHERE run_id = :run_id ORDER BY name;

-- name: loose_edges
-- Edges that lead to runs, or come from them, which are not there.
SELECT from_kind, from_id, role, to_kind, to_id FROM edge
WHERE (from_kind = 'run' AND NOT EXISTS (SELECT 1 FROM run WHERE id = from_id))
    OR (to_kind = 'run' AND NOT EXISTS (SELECT 1 FROM run WHERE id = to_id));
