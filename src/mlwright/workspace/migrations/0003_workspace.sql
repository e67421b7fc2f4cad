-- The workspace's own name, and the projects that use it.
CREATE TABLE workspace (
    id TEXT PRIMARY KEY,
    created_us INTEGER NOT NULL
) STRICT;

CREATE TABLE project (
    name TEXT PRIMARY KEY,
    created_us INTEGER NOT NULL
) STRICT;
