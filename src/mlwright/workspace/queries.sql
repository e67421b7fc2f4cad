-- name: workspace_id
-- The name this workspace was given when it was made.
SELECT id FROM workspace;

-- name: add_workspace
-- Name a new workspace.
INSERT INTO workspace (id, created_us) VALUES (:id, :created_us);

-- name: add_project
-- Remember that a project uses this workspace.
INSERT INTO project (name, created_us) VALUES (:name, :created_us) ON CONFLICT DO NOTHING;

-- name: project_known
-- Whether a project has used this workspace before.
SELECT name FROM project WHERE name = :name;
