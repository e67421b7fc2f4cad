-- What kind of work a run is, what it shall become, where it runs, and which parameters it logged.
ALTER TABLE run ADD COLUMN kind TEXT NOT NULL DEFAULT 'pipeline';
ALTER TABLE run ADD COLUMN wanted TEXT;
ALTER TABLE run ADD COLUMN machine TEXT NOT NULL DEFAULT '{}';
ALTER TABLE param ADD COLUMN logged INTEGER NOT NULL DEFAULT 0;
