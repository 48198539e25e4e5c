-- The dead-letter desk. Both SQLite and PostgreSQL read this file: BYTEA holds bytes in both. Moments are
-- milliseconds since the Unix epoch.

-- Which store this is, so that desks of one consumer group can tell whether they share it.
CREATE TABLE stores (id TEXT PRIMARY KEY);

CREATE TABLE letters (
    -- 32 hexadecimal digits made of where the record lies, so that a redelivery makes no second row.
    id TEXT PRIMARY KEY,
    -- Where it lies: the dead-letter topic. Nothing for a letter that was edited here.
    topic TEXT,
    topic_partition BIGINT,
    topic_offset BIGINT,
    -- When it became a dead letter, when its message failed first, and when it came here.
    failed BIGINT NOT NULL,
    first_failed BIGINT,
    taken BIGINT NOT NULL,
    -- The message: its id, where it was first published, and in which group it failed.
    message TEXT NOT NULL,
    source TEXT NOT NULL,
    source_partition BIGINT NOT NULL,
    source_offset BIGINT NOT NULL,
    source_timestamp BIGINT,
    consumer_group TEXT NOT NULL,
    -- The failure.
    failure_group TEXT NOT NULL,
    plugin TEXT NOT NULL,
    digest TEXT NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    exception TEXT NOT NULL,
    backtrace TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    -- How often the message had been replayed before it came here.
    replays BIGINT NOT NULL,
    -- The record, byte for byte; headers as JSON, in order.
    record_key BYTEA,
    record_value BYTEA,
    record_headers TEXT NOT NULL,
    -- How long the value was, where the dead-letter topic refused it.
    value_cut BIGINT,
    -- What a search looks in: key, value's beginning and detail in small letters.
    words TEXT NOT NULL,
    -- open, replayed or discarded; since when, and by which action.
    state TEXT NOT NULL,
    state_since BIGINT NOT NULL,
    action TEXT,
    -- The letter that this one is an edited copy of.
    edited_from TEXT
);

CREATE INDEX letters_newest ON letters (failed, id);
CREATE INDEX letters_by_state ON letters (state, failed, id);
CREATE INDEX letters_by_group ON letters (failure_group, state, failed, id);
-- What has been as it is for long enough to go.
CREATE INDEX letters_by_age ON letters (state, state_since);
CREATE INDEX letters_by_message ON letters (message);

-- Failures of one code, plugin and digest.
CREATE TABLE failure_groups (
    id TEXT PRIMARY KEY,
    code TEXT NOT NULL,
    plugin TEXT NOT NULL,
    digest TEXT NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    -- The last failure's own words.
    detail TEXT NOT NULL,
    note TEXT NOT NULL,
    -- open or closed; a closed one that fails again is open again.
    state TEXT NOT NULL
);

-- Who did what, when and why.
CREATE TABLE actions (
    id TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    who TEXT NOT NULL,
    -- replay, pause, resume, cancel, edit, discard, restore, note, close, reopen, export, import
    what TEXT NOT NULL,
    reason TEXT NOT NULL,
    -- What it was done to: one letter, one group, one job, or a filter as JSON; and to how many letters.
    letter TEXT,
    failure_group TEXT,
    job TEXT,
    filter TEXT,
    letters BIGINT NOT NULL
);

CREATE INDEX actions_newest ON actions (at, id);
CREATE INDEX actions_by_letter ON actions (letter);
CREATE INDEX actions_by_job ON actions (job);

-- Replays.
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    created BIGINT NOT NULL,
    -- running, paused, stopped (too many failed), cancelled or done; since when, and why.
    state TEXT NOT NULL,
    state_since BIGINT NOT NULL,
    why TEXT NOT NULL,
    who TEXT NOT NULL,
    reason TEXT NOT NULL,
    filter TEXT NOT NULL,
    -- source or retry
    target TEXT NOT NULL,
    -- Letters a second; none without a limit.
    rate DOUBLE PRECISION,
    -- The sizes of its first steps, comma-separated; empty where it is not ramped.
    ramp TEXT NOT NULL,
    -- The share of failures, in per cent of a step, above which it stops.
    limit_percent BIGINT NOT NULL,
    -- How often a message may have been replayed before.
    most_replays BIGINT NOT NULL,
    letters BIGINT NOT NULL,
    -- How many of them belong to steps that have ended, and how many steps those are.
    stepped BIGINT NOT NULL,
    steps BIGINT NOT NULL,
    -- The process that works on it, and until when it has it.
    worker TEXT,
    worker_until BIGINT
);

-- The letters of a job, frozen when it was made.
CREATE TABLE job_letters (
    job TEXT NOT NULL,
    position BIGINT NOT NULL,
    letter TEXT NOT NULL,
    -- waiting, sent (no outcome yet), done, failed, unknown, or gone (not sent)
    state TEXT NOT NULL,
    sent BIGINT,
    ended BIGINT,
    -- Where it was published.
    topic TEXT,
    topic_partition BIGINT,
    topic_offset BIGINT,
    -- Why it is gone.
    why TEXT,
    PRIMARY KEY (job, position)
);

CREATE INDEX job_letters_by_state ON job_letters (job, state, position);
CREATE INDEX job_letters_by_letter ON job_letters (letter);
-- Those whose outcome is waited for.
CREATE INDEX job_letters_out ON job_letters (sent) WHERE state = 'sent';
