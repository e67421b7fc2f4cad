-- One row for each try at a step of a run, whether it ran, was reused or only checked.
CREATE TABLE attempt (
    id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES run (id),
    node TEXT NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    fingerprint TEXT,
    log TEXT,
    detail TEXT NOT NULL,
    waited_s REAL,
    wall_s REAL,
    cpu_s REAL,
    peak_bytes INTEGER,
    created_us INTEGER NOT NULL,
    finished_us INTEGER,
    UNIQUE (run_id, node, number)
) STRICT;

-- What a fingerprint was computed from, so that it can be said what differs. The basis is the same for
-- every call of a step in one version of its code and packages.
CREATE TABLE basis (
    digest TEXT PRIMARY KEY,
    step TEXT NOT NULL,
    parts TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX basis_step ON basis (step);

CREATE TABLE fingerprint (
    digest TEXT PRIMARY KEY,
    basis TEXT NOT NULL REFERENCES basis (digest),
    inputs TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX fingerprint_basis ON fingerprint (basis);

CREATE INDEX attempt_reusable ON attempt (fingerprint, created_us) WHERE state = 'succeeded';
