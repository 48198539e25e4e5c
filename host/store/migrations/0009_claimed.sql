-- Both SQLite and PostgreSQL read this file.

-- The position up to which the worker of a job is about to send letters, or has just sent them and not recorded that
-- yet. Older hosts claim each letter instead.
ALTER TABLE jobs ADD COLUMN claimed BIGINT NOT NULL DEFAULT 0;
