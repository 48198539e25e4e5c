-- What messages have already sent. Both SQLite and PostgreSQL read this file.
CREATE TABLE effects (
    -- 32 hexadecimal digits made of group, message, content and occurrence.
    hash TEXT PRIMARY KEY,
    -- For people alone.
    consumer_group TEXT NOT NULL,
    message TEXT NOT NULL,
    -- Milliseconds since the Unix epoch: when it was begun, and when its answer was written down.
    created BIGINT NOT NULL,
    settled BIGINT,
    -- JSON; none while nobody knows what became of it.
    answer TEXT
);

CREATE INDEX effects_created ON effects (created);
