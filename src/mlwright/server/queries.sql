-- name: claim_answer
-- Take a key, if nobody has it.
INSERT INTO answered (key, actor, request, at_us, location) VALUES (:key, :actor, :request, :at_us, '')
ON CONFLICT DO NOTHING;

-- name: answer_of
-- What was answered to the request with a key; without a status it was begun and not answered.
SELECT request, status, location, body FROM answered WHERE actor = :actor AND key = :key;

-- name: keep_answer
-- Keep what was answered.
UPDATE answered SET status = :status, location = :location, body = :body WHERE actor = :actor AND key = :key;

-- name: forget_answer
-- Let go of a key: nothing was done.
DELETE FROM answered WHERE actor = :actor AND key = :key;

-- name: forget_old_answers
-- Let go of what nobody will ask again.
DELETE FROM answered WHERE at_us < :before_us;
