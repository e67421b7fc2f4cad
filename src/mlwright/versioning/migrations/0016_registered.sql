-- Registered models as a client of MLflow's protocol knows them: names without versions, words, tags, stages.
CREATE TABLE registered_model (
    name TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO registered_model (name, description, created_us, updated_us)
SELECT name, '', min(created_us), max(created_us) FROM version WHERE kind = 'model' GROUP BY name;

CREATE TABLE registered_model_tag (
    model TEXT NOT NULL REFERENCES registered_model (name) ON UPDATE CASCADE ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE reported_version (
    version_id TEXT PRIMARY KEY REFERENCES version (id) ON DELETE CASCADE,
    description TEXT,
    stage TEXT NOT NULL,
    source TEXT NOT NULL,
    run_id TEXT NOT NULL,
    run_link TEXT NOT NULL,
    model_id TEXT NOT NULL,
    updated_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE version_tag (
    version_id TEXT NOT NULL REFERENCES version (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (version_id, name)
) STRICT, WITHOUT ROWID;
