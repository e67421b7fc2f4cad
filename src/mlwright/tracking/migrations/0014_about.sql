-- What else is known of a run: variables that its steps had, files that are not in its code, where it came from.
ALTER TABLE run ADD COLUMN about TEXT NOT NULL DEFAULT '{}';
