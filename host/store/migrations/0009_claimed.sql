-- Both SQLite and PostgreSQL read this file.

-- The position up to which the worker of a job is about to send letters, or has just sent them and not recorded that
-- yet. Older hosts claim each letter instead.
ALTER TABLE jobs ADD COLUMN claimed BIGINT NOT NULL DEFAULT 0;

-- The state comes first: an index that begins with the job was used to find letters by their position, and PostgreSQL
-- does not know how many letters a new job has.
DROP INDEX job_letters_by_state;
CREATE INDEX job_letters_in_state ON job_letters (state, job, position);
