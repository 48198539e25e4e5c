-- Both SQLite and PostgreSQL read this file.

-- What messages have sent, looked up by their dead letters.
CREATE INDEX effects_by_message ON effects (message);

-- Since when the ledger keeps what open dead letters have sent, in milliseconds since the Unix epoch; 0 where it
-- always did.
ALTER TABLE stores ADD COLUMN effects_since BIGINT;

-- The process that is about to send this letter of a replay, or has just sent it and not recorded that yet.
ALTER TABLE job_letters ADD COLUMN claim TEXT;
