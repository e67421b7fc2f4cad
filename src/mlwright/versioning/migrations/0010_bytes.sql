-- Who has which bytes is asked of the edges to them: this index said the same a second time.
DROP INDEX artifact_digest;
