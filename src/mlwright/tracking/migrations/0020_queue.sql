-- When a run began that had to wait for it, and the runs that wait.
ALTER TABLE run ADD COLUMN started_us INTEGER;
CREATE INDEX run_waiting ON run (created_us, id) WHERE state = 'scheduled' AND kind <> 'reported';
