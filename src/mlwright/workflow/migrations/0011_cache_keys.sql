-- What a cache key was computed from stands with the attempt, which is a row less to write for each.
-- One that is reused has none of its own: the success with the same fingerprint has it.
ALTER TABLE attempt ADD COLUMN basis TEXT REFERENCES basis (digest);
ALTER TABLE attempt ADD COLUMN inputs TEXT;

-- only: sqlite
UPDATE attempt SET (basis, inputs) = (
    SELECT fingerprint.basis, fingerprint.inputs FROM fingerprint WHERE fingerprint.digest = attempt.fingerprint
) WHERE fingerprint IS NOT NULL AND state <> 'reused';

DROP TABLE fingerprint;

CREATE INDEX attempt_basis ON attempt (basis, created_us) WHERE state = 'succeeded';
