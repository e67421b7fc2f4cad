-- name: add_attempt
-- A try at a step begins, or is decided at once.
INSERT INTO attempt (id, run_id, node, number, state, fingerprint, detail, created_us)
VALUES (:id, :run_id, :node, :number, :state, :fingerprint, :detail, :created_us);

-- name: move_attempt
-- A try ends; nothing changes when it had ended before.
UPDATE attempt SET state = :state, log = :log, detail = :detail, waited_s = :waited_s, wall_s = :wall_s,
    cpu_s = :cpu_s, peak_bytes = :peak_bytes, finished_us = :finished_us
WHERE id = :id AND state = :was;

-- name: add_basis
-- Keep what a step's fingerprints are computed from.
INSERT INTO basis (digest, step, parts) VALUES (:digest, :step, :parts) ON CONFLICT DO NOTHING;

-- name: add_fingerprint
-- Keep what was passed to a step.
INSERT INTO fingerprint (digest, basis, inputs) VALUES (:digest, :basis, :inputs) ON CONFLICT DO NOTHING;

-- name: fingerprint_by_digest
-- What a fingerprint was computed from.
SELECT fingerprint.digest AS digest, basis.digest AS basis, step, parts, inputs
FROM fingerprint JOIN basis ON basis.digest = fingerprint.basis WHERE fingerprint.digest = :digest;

-- name: earlier_successes
-- The newest successes of a step in other runs with another fingerprint, before a moment.
SELECT attempt.id AS id, attempt.run_id AS run_id, node, number, state, fingerprint, log, detail, waited_s, wall_s,
    cpu_s, peak_bytes, created_us, finished_us
FROM basis JOIN fingerprint ON fingerprint.basis = basis.digest
JOIN attempt ON attempt.fingerprint = fingerprint.digest AND attempt.state = 'succeeded'
WHERE basis.step = :step AND attempt.fingerprint <> :digest AND attempt.created_us < :before
    AND attempt.run_id <> :run_id
ORDER BY attempt.created_us DESC LIMIT :limit;

-- name: reusable_attempt
-- The newest success with this fingerprint.
SELECT id FROM attempt WHERE fingerprint = :fingerprint AND state = 'succeeded'
ORDER BY created_us DESC LIMIT 1;

-- name: attempts_of_run
-- Every try of a run, in the order they began.
SELECT id, run_id, node, number, state, fingerprint, log, detail, waited_s, wall_s, cpu_s, peak_bytes,
    created_us, finished_us FROM attempt WHERE run_id = :run_id ORDER BY created_us, id;

-- name: attempts_by_prefix
-- The tries an id can mean.
SELECT id, run_id, node, number, state, fingerprint, log, detail, waited_s, wall_s, cpu_s, peak_bytes,
    created_us, finished_us FROM attempt WHERE id >= :prefix AND id < :prefix || '~' LIMIT 2;
