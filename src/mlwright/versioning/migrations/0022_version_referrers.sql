-- What refers to a version or a value is found by an index: each is looked for when one of them is removed.
CREATE INDEX version_artifact ON version (artifact_id);
CREATE INDEX alias_version ON alias (version_id);
