-- name: add_attempt
-- A try at a step begins, or is decided at once.
INSERT INTO attempt (id, run_id, node, number, state, fingerprint, log, detail, waited_s, wall_s, cpu_s, peak_bytes,
    created_us, finished_us, worker, cpus, gpus, bytes_in, bytes_out, basis, inputs)
VALUES (:id, :run_id, :node, :number, :state, :fingerprint, :log, :detail, :waited_s, :wall_s, :cpu_s, :peak_bytes,
    :created_us, :finished_us, :worker, :cpus, :gpus, :bytes_in, :bytes_out, :basis, :inputs);

-- name: end_attempt
-- A try ends; nothing changes when it had ended before.
UPDATE attempt SET state = :state, log = :log, detail = :detail, waited_s = :waited_s, wall_s = :wall_s,
    cpu_s = :cpu_s, peak_bytes = :peak_bytes, finished_us = :finished_us, worker = :worker, gpus = :gpus,
    bytes_out = :bytes_out
WHERE id = :id AND state = 'running';

-- name: add_basis
-- Keep what a step's fingerprints are computed from.
INSERT INTO basis (digest, step, parts) VALUES (:digest, :step, :parts) ON CONFLICT DO NOTHING;

-- name: fingerprint_of
-- What the fingerprint of a try was computed from; of one that is reused, with a success that has the same.
SELECT attempt.fingerprint AS digest, basis.digest AS basis, step, parts, attempt.inputs AS inputs
FROM attempt AS asked
JOIN attempt ON attempt.id = asked.id
    OR (attempt.fingerprint = asked.fingerprint AND attempt.state = 'succeeded')
JOIN basis ON basis.digest = attempt.basis
WHERE asked.id = :id LIMIT 1;

-- name: successes
-- The newest successes of a step before a moment, in other runs, with another fingerprint.
SELECT attempt.id AS id, attempt.run_id AS run_id, node, number, state, fingerprint, log, detail, waited_s, wall_s,
    cpu_s, peak_bytes, created_us, finished_us, worker, cpus, gpus, bytes_in, bytes_out
FROM basis JOIN attempt ON attempt.basis = basis.digest AND attempt.state = 'succeeded'
WHERE basis.step = :step AND attempt.fingerprint IS DISTINCT FROM :but AND attempt.created_us < :before
    AND attempt.run_id <> :run_id
ORDER BY attempt.created_us DESC LIMIT :limit;

-- name: newest_with_fingerprint
-- The newest success with a fingerprint.
SELECT id, run_id FROM attempt WHERE fingerprint = :fingerprint AND state = 'succeeded'
ORDER BY created_us DESC LIMIT 1;

-- name: successes_from
-- A success and those that began after it in its run, beside each of their outputs (`<` comes after the colon).
SELECT attempt.id AS id, attempt.fingerprint AS fingerprint, attempt.detail AS detail, edge.role AS role,
    edge.from_id AS artifact
FROM (
    SELECT id, fingerprint, detail FROM attempt
    WHERE id >= :id AND run_id = :run_id AND state = 'succeeded' AND fingerprint IS NOT NULL
    ORDER BY id LIMIT :limit
) AS attempt
LEFT JOIN edge ON edge.to_kind = 'attempt' AND edge.to_id = attempt.id
    AND edge.role >= 'output:' AND edge.role < 'output<';

-- name: attempts_of_run
-- Every try of a run, in the order they began.
SELECT id, run_id, node, number, state, fingerprint, log, detail, waited_s, wall_s, cpu_s, peak_bytes,
    created_us, finished_us, worker, cpus, gpus, bytes_in, bytes_out
FROM attempt WHERE run_id = :run_id ORDER BY created_us, id;

-- name: attempts_by_prefix
-- The tries an id can mean.
SELECT id, run_id, node, number, state, fingerprint, log, detail, waited_s, wall_s, cpu_s, peak_bytes,
    created_us, finished_us, worker, cpus, gpus, bytes_in, bytes_out
FROM attempt WHERE id >= :prefix AND id < :prefix || '~' LIMIT 2;

-- name: durations_of
-- How long the steps of a project take.
SELECT step, mean_s FROM duration WHERE project = :project;

-- name: add_duration
-- What a run saw of a step is weighed with what was known, the latest dozen attempts counting most.
INSERT INTO duration (project, step, mean_s, attempts) VALUES (:project, :step, :mean_s, :attempts)
ON CONFLICT (project, step) DO UPDATE SET
    mean_s = (
        duration.mean_s * CASE WHEN duration.attempts < 12 THEN duration.attempts ELSE 12 END
        + excluded.mean_s * excluded.attempts
    ) / (CASE WHEN duration.attempts < 12 THEN duration.attempts ELSE 12 END + excluded.attempts),
    attempts = duration.attempts + excluded.attempts;

-- name: attempts_since
-- The tries of a run that are running, and those that ended or were decided from a moment on.
SELECT id, run_id, node, number, state, fingerprint, log, detail, waited_s, wall_s, cpu_s, peak_bytes,
    created_us, finished_us, worker, cpus, gpus, bytes_in, bytes_out
FROM attempt
WHERE run_id = :run_id AND (state = 'running' OR coalesce(finished_us, created_us) >= :since)
ORDER BY created_us, id;

-- name: made_in_run
-- What the tries of a run made, or the tries that they reuse.
SELECT attempt.id AS attempt, made.role AS role, made.from_id AS artifact, bytes.to_id AS digest
FROM attempt
LEFT JOIN edge AS reuse ON reuse.from_kind = 'attempt' AND reuse.from_id = attempt.id AND reuse.role = 'reuses'
CROSS JOIN edge AS made
CROSS JOIN edge AS bytes
WHERE attempt.run_id = :run_id
    AND made.to_kind = 'attempt' AND made.to_id = coalesce(reuse.to_id, attempt.id)
    AND made.from_kind = 'artifact'
    AND bytes.from_kind = 'artifact' AND bytes.from_id = made.from_id AND bytes.role = 'bytes'
ORDER BY attempt.created_us, attempt.id, made.role;

-- name: reused_in_run
-- What the tries of a run reuse, and how long that took.
SELECT attempt.id AS attempt, source.id AS source, source.wall_s AS wall_s
FROM attempt
CROSS JOIN edge AS reuse
CROSS JOIN attempt AS source
WHERE attempt.run_id = :run_id AND attempt.state = 'reused'
    AND reuse.from_kind = 'attempt' AND reuse.from_id = attempt.id AND reuse.role = 'reuses'
    AND source.id = reuse.to_id;

-- name: needed_in_run
-- Which nodes made what the tries of a run took, or what those took that they reuse.
SELECT DISTINCT attempt.id AS attempt, maker.node AS node
FROM attempt
LEFT JOIN edge AS reuse ON reuse.from_kind = 'attempt' AND reuse.from_id = attempt.id AND reuse.role = 'reuses'
CROSS JOIN edge AS taken
CROSS JOIN edge AS made
CROSS JOIN attempt AS maker
WHERE attempt.run_id = :run_id
    AND taken.from_kind = 'attempt' AND taken.from_id = coalesce(reuse.to_id, attempt.id)
    AND taken.to_kind = 'artifact'
    AND made.from_kind = 'artifact' AND made.from_id = taken.to_id AND made.to_kind = 'attempt'
    AND maker.id = made.to_id;

-- name: taken_in_run
-- What the tries of a run took, each as what it became, with the node and the output it is of, if it is of one.
SELECT DISTINCT attempt.node AS node, taken.role AS role, taken.to_id AS source, maker.node AS maker,
    made.role AS output
FROM attempt
LEFT JOIN edge AS reuse ON reuse.from_kind = 'attempt' AND reuse.from_id = attempt.id AND reuse.role = 'reuses'
JOIN edge AS taken ON taken.from_kind = 'attempt' AND taken.from_id = coalesce(reuse.to_id, attempt.id)
    AND taken.to_kind IN ('artifact', 'version')
LEFT JOIN edge AS made ON made.from_kind = 'artifact' AND made.from_id = taken.to_id AND made.to_kind = 'attempt'
LEFT JOIN attempt AS maker ON maker.id = made.to_id
WHERE attempt.run_id = :run_id;

-- name: successes_in_run
-- How many tries at the nodes of a range succeeded in a run, and how long they took together.
SELECT count(*) AS attempts, sum(wall_s) AS wall_s FROM attempt
WHERE run_id = :run_id AND node >= :first AND node < :beyond AND state = 'succeeded';

-- name: success_of_node
-- The try at a node that succeeded in a run.
SELECT id FROM attempt WHERE run_id = :run_id AND node = :node AND state = 'succeeded';

-- name: bytes_around
-- What a try took and made, each by the digest of its bytes; a dataset by its version.
SELECT taken.role AS role, coalesce(bytes.to_id, taken.to_id) AS digest
FROM edge AS taken
LEFT JOIN edge AS bytes ON bytes.from_kind = taken.to_kind AND bytes.from_id = taken.to_id
    AND bytes.role = 'bytes'
WHERE taken.from_kind = 'attempt' AND taken.from_id = :attempt AND taken.to_kind IN ('artifact', 'version')
UNION ALL
SELECT made.role, bytes.to_id
FROM edge AS made
JOIN edge AS bytes ON bytes.from_kind = 'artifact' AND bytes.from_id = made.from_id AND bytes.role = 'bytes'
WHERE made.to_kind = 'attempt' AND made.to_id = :attempt AND made.from_kind = 'artifact';

-- name: loose_edges
-- Edges that lead to attempts, or come from them, which are not there.
SELECT from_kind, from_id, role, to_kind, to_id FROM edge
WHERE (from_kind = 'attempt' AND NOT EXISTS (SELECT 1 FROM attempt WHERE id = from_id))
    OR (to_kind = 'attempt' AND NOT EXISTS (SELECT 1 FROM attempt WHERE id = to_id));

-- name: count_attempts
-- How many attempts there are.
SELECT count(*) AS attempts FROM attempt;
