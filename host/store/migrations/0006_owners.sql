-- Both SQLite and PostgreSQL read this file.

-- The process that performs an effect without an answer.
ALTER TABLE effects ADD COLUMN owner TEXT;

-- When a process that performs effects was last seen, in milliseconds since the Unix epoch.
CREATE TABLE effect_owners (
    owner TEXT NOT NULL PRIMARY KEY,
    seen BIGINT NOT NULL
);
