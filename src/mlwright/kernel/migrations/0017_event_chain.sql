-- Events vouch for each other: each has a digest over itself and the one before; and are found by what they tell.
ALTER TABLE event ADD COLUMN digest TEXT;

CREATE TABLE event_chain (
    begins_after INTEGER NOT NULL
) STRICT;

INSERT INTO event_chain (begins_after) SELECT coalesce(max(id), 0) FROM event;

CREATE INDEX event_subject ON event (subject_id, id);

CREATE INDEX event_verb ON event (verb, id);

CREATE INDEX event_actor ON event (actor, id);
