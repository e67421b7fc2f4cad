-- An owner says again and again that it lives, for those who cannot look at its process.
ALTER TABLE lease ADD COLUMN space TEXT NOT NULL DEFAULT '';

ALTER TABLE lease ADD COLUMN beat_us INTEGER NOT NULL DEFAULT 0;

ALTER TABLE lease ADD COLUMN awake_us INTEGER NOT NULL DEFAULT 0;
