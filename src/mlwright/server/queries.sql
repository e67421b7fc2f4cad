-- name: claim_answer
-- Take a key, if nobody has it.
INSERT INTO answered (key, actor, request, at_us, location) VALUES (:key, :actor, :request, :at_us, '')
ON CONFLICT DO NOTHING;

-- name: answer_of
-- What was answered to the request with a key; without a status it was begun and not answered.
SELECT request, status, location, body FROM answered WHERE actor = :actor AND key = :key;

-- name: answers_kept
-- How many requests with a key are kept of somebody.
SELECT count(*) AS answers FROM answered WHERE actor = :actor;

-- name: keep_answer
-- Keep what was answered.
UPDATE answered SET status = :status, location = :location, body = :body WHERE actor = :actor AND key = :key;

-- name: forget_answer
-- Let go of a key: nothing was done.
DELETE FROM answered WHERE actor = :actor AND key = :key;

-- name: forget_old_answers
-- Let go of what nobody will ask again.
DELETE FROM answered WHERE at_us < :before_us;

-- name: add_token
-- A token, a session or a link is made.
INSERT INTO token (id, kind, name, role, digest, parent_id, person_id, created_us, expires_us, used_us, revoked_us)
VALUES (:id, :kind, :name, :role, :digest, :parent_id, :person_id, :created_us, :expires_us, NULL, NULL);

-- name: token_with
-- What a secret is of, by its digest.
SELECT id, kind, name, role, parent_id, person_id, created_us, expires_us, used_us, revoked_us FROM token
WHERE digest = :digest;

-- name: token_by_id
-- What is known of a token, a session or a link.
SELECT id, kind, name, role, parent_id, person_id, created_us, expires_us, used_us, revoked_us FROM token
WHERE id = :id;

-- name: tokens
-- All that were ever made and are not forgotten, oldest first.
SELECT id, kind, name, role, parent_id, person_id, created_us, expires_us, used_us, revoked_us FROM token
ORDER BY created_us, id;

-- name: admin_tokens
-- Whether somebody has a token with which everything may be done.
SELECT count(*) AS tokens FROM token
WHERE kind = 'token' AND role = 'admin' AND revoked_us IS NULL
AND (expires_us IS NULL OR expires_us > :now_us);

-- name: tokens_named
-- Which token a name is taken by.
SELECT id, kind, name, role, parent_id, person_id, created_us, expires_us, used_us, revoked_us FROM token
WHERE name = :name AND kind = 'token' AND revoked_us IS NULL
AND (expires_us IS NULL OR expires_us > :now_us);

-- name: revoke_token
-- From now on a secret is worth nothing.
UPDATE token SET revoked_us = :now_us WHERE id = :id AND revoked_us IS NULL;

-- name: use_link
-- A link is used, which can be done once.
UPDATE token SET used_us = :now_us, revoked_us = :now_us
WHERE id = :id AND kind = 'link' AND used_us IS NULL AND revoked_us IS NULL AND expires_us > :now_us;

-- name: touch_token
-- When a secret was used last, unless that is known well enough.
UPDATE token SET used_us = :now_us WHERE id = :id AND (used_us IS NULL OR used_us < :unless_us);

-- name: forget_tokens
-- Sessions and links that ended long ago are of no interest.
DELETE FROM token WHERE kind IN ('session', 'link') AND (expires_us < :before_us OR revoked_us < :before_us);

-- name: person_with
-- Who somebody is whom a provider knows.
SELECT id, issuer, subject, name, email, groups, role, first_us, last_us FROM person
WHERE issuer = :issuer AND subject = :subject;

-- name: person
-- Who a session is of.
SELECT id, issuer, subject, name, email, groups, role, first_us, last_us FROM person WHERE id = :id;

-- name: keep_person
-- Somebody has logged in: what their provider says of them now.
INSERT INTO person (id, issuer, subject, name, email, groups, role, first_us, last_us)
VALUES (:id, :issuer, :subject, :name, :email, :groups, :role, :first_us, :last_us)
ON CONFLICT (issuer, subject) DO UPDATE SET name = excluded.name, email = excluded.email, groups = excluded.groups,
role = excluded.role, last_us = excluded.last_us;
