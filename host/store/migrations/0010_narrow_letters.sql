-- Both SQLite and PostgreSQL read this file.

-- What is counted, listed and grouped is kept apart from what records contain, which is most of a store: to look at each
-- of 100,000 letters must take a moment. A new table, because PostgreSQL would keep the old rows as wide as they were.

CREATE TABLE letter_records (
    id TEXT PRIMARY KEY,
    backtrace TEXT NOT NULL,
    record_key BYTEA,
    record_value BYTEA,
    record_headers TEXT NOT NULL
);

INSERT INTO letter_records SELECT id, backtrace, record_key, record_value, record_headers FROM letters;

-- In the order of the letters, so that a search that goes through them goes through this table too.
CREATE TABLE letter_words (
    failed BIGINT NOT NULL,
    id TEXT NOT NULL,
    words TEXT NOT NULL,
    PRIMARY KEY (failed, id)
);

INSERT INTO letter_words SELECT failed, id, words FROM letters ORDER BY failed, id;

CREATE TABLE narrow_letters (
    id TEXT PRIMARY KEY,
    topic TEXT,
    topic_partition BIGINT,
    topic_offset BIGINT,
    failed BIGINT NOT NULL,
    first_failed BIGINT,
    taken BIGINT NOT NULL,
    message TEXT NOT NULL,
    source TEXT NOT NULL,
    source_partition BIGINT NOT NULL,
    source_offset BIGINT NOT NULL,
    source_timestamp BIGINT,
    consumer_group TEXT NOT NULL,
    failure_group TEXT NOT NULL,
    plugin TEXT NOT NULL,
    digest TEXT NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    exception TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    replays BIGINT NOT NULL,
    value_cut BIGINT,
    state TEXT NOT NULL,
    state_since BIGINT NOT NULL,
    action TEXT,
    edited_from TEXT,
    again_of TEXT
);

-- Names of any producer may be longer than an index of PostgreSQL takes; those of topics are not.
INSERT INTO narrow_letters
SELECT id,
    CASE WHEN octet_length(topic) <= 512 THEN topic ELSE substr(topic, 1, 128) END,
    topic_partition, topic_offset, failed, first_failed, taken, message,
    CASE WHEN octet_length(source) <= 512 THEN source ELSE substr(source, 1, 128) END,
    source_partition, source_offset, source_timestamp, consumer_group, failure_group,
    CASE WHEN octet_length(plugin) <= 512 THEN plugin ELSE substr(plugin, 1, 128) END,
    digest,
    CASE WHEN octet_length(code) <= 512 THEN code ELSE substr(code, 1, 128) END,
    detail, exception, attempts, replays, value_cut, state, state_since, action, edited_from, again_of
FROM letters ORDER BY failed, id;

DROP TABLE letters;
ALTER TABLE narrow_letters RENAME TO letters;

-- These answer every filter but a text, for all letters or for those in a state, without the rows.
CREATE INDEX letters_newest ON letters (failed, id, state, code, plugin, source, topic);
CREATE INDEX letters_by_state ON letters (state, failed, id, code, plugin, source, topic);
CREATE INDEX letters_by_group ON letters (failure_group, state, failed, id);
CREATE INDEX letters_by_age ON letters (state, state_since);
CREATE INDEX letters_by_message ON letters (message);
-- In the order that is asked for: PostgreSQL would go through all letters in that order instead.
CREATE INDEX letters_again ON letters (again_of, failed DESC, id) WHERE again_of IS NOT NULL;
CREATE INDEX letters_edited ON letters (edited_from) WHERE edited_from IS NOT NULL;
