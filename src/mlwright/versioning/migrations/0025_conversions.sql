-- What became of converting model versions to ONNX: whether the conversion answers for them, and if not, why.
CREATE TABLE conversion (
    version_id TEXT PRIMARY KEY REFERENCES version (id) ON DELETE CASCADE,
    used INTEGER NOT NULL,
    why TEXT NOT NULL,
    about TEXT NOT NULL,
    artifact_id TEXT REFERENCES artifact (id),
    created_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX conversion_artifact ON conversion (artifact_id);
