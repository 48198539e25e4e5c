-- Alerts. Both SQLite and PostgreSQL read this file. Moments are milliseconds since the Unix epoch.

-- What was said of a group last.
CREATE TABLE alerts (
    failure_group TEXT PRIMARY KEY,
    -- raised or recovered; when that, or more of it, was said, and how many letters were open then.
    state TEXT NOT NULL,
    reported BIGINT NOT NULL,
    open_letters BIGINT NOT NULL,
    -- 1 where the age of its oldest letter was reported.
    aged BIGINT NOT NULL
);

-- What is to be said: a row a channel, which goes when the channel took it.
CREATE TABLE alert_messages (
    id TEXT PRIMARY KEY,
    -- webhook or mail
    channel TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    created BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    -- Nobody tries it before this moment: it is being sent, or waits for another attempt.
    due BIGINT NOT NULL
);

CREATE INDEX alert_messages_due ON alert_messages (due);
