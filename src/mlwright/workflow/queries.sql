-- name: add_attempt
-- A try at a step begins, or is decided at once.
INSERT INTO attempt (id, run_id, node, number, state, fingerprint, detail, created_us)
VALUES (:id, :run_id, :node, :number, :state, :fingerprint, :detail, :created_us);

-- name: move_attempt
-- A try ends; nothing changes when it had ended before.
UPDATE attempt SET state = :state, log = :log, detail = :detail, waited_s = :waited_s, wall_s = :wall_s,
    cpu_s = :cpu_s, peak_bytes = :peak_bytes, finished_us = :finished_us
WHERE id = :id AND state = :was;

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
