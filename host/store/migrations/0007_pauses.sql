-- Both SQLite and PostgreSQL read this file.

-- The plugins that are paused: since when, in milliseconds since the Unix epoch, by whom, and why.
CREATE TABLE paused_plugins (
    plugin TEXT NOT NULL PRIMARY KEY,
    since BIGINT NOT NULL,
    who TEXT NOT NULL,
    reason TEXT NOT NULL
);

-- The plugin that an action paused or resumed.
ALTER TABLE actions ADD COLUMN plugin TEXT;
