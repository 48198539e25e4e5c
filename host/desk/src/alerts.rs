//! Alerts on failures: new ones, growing ones, old ones, and recoveries. A failure is reported, not each message.
//!
//! One transaction decides which failures are reported, marks them as reported and queues the messages, so of
//! several hosts that share a store exactly one reports. A queued message is sent to each channel until the
//! channel accepts it. A host that is killed between sending and dequeuing sends the message again.

mod channel;
mod message;
mod rules;
mod settings;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use base::clock::{self, millis};
use desk_api::Failure;
use reqwest::Url;
use sandbox::capabilities::mail::mailer::Email;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use tokio::time::sleep;

pub use self::channel::Channels;
use self::channel::{MAX_RETRY_AFTER, Rejection};
use self::message::Text;
pub use self::rules::Thresholds;
use self::rules::{Event, Reported};
use crate::sql::{self, WhereClause};
use crate::{Desk, failures, metrics, sortable_id};

/// Bounds of the check interval.
const MIN_INTERVAL: Duration = Duration::from_millis(200);
const MAX_INTERVAL: Duration = Duration::from_secs(2);
/// The share of its time that a check may take, and the longest pause that follows from it: a store with very many
/// failures is checked less often.
const SHARE: u32 = 50;
const MAX_REST: Duration = Duration::from_secs(60);
/// How long a message is reserved for the process that sends it: longer than any channel's timeout.
const CLAIM: Duration = Duration::from_secs(60);
/// How long a message is retried.
const RETRY_FOR: Duration = Duration::from_secs(24 * 3600);
/// Bounds of the pause between attempts; it doubles.
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// The longest time before a message is due. One that is due later waits by a clock that stood wrong.
const MAX_DUE: Duration = MAX_RETRY_AFTER;
/// Failures reported per check, and thus per message.
const MAX_EVENTS: usize = 500;
/// Messages sent per check.
const MAX_MESSAGES: u32 = 20;

/// The configured destinations of alerts.
#[derive(Debug, Clone)]
pub struct Destinations {
    /// A webhook that accepts Slack's message format.
    pub webhook: Option<Url>,
    /// The e-mail's envelope, without subject and text.
    pub mail: Option<Email>,
    /// The console's base URL.
    pub console: Option<String>,
}

/// Reports failures to the configured channels.
#[derive(Clone)]
pub struct Alerts {
    desk: Desk,
    channels: Arc<Channels>,
    console: Option<Arc<str>>,
    thresholds: Thresholds,
}

/// A queued message.
struct Queued {
    id: String,
    channel: String,
    text: Text,
    created_ms: i64,
    attempts: i64,
}

impl Alerts {
    /// Alerts on the failures of this desk.
    pub fn new(desk: Desk, channels: Channels, console: Option<String>, thresholds: Thresholds) -> Self {
        Self { desk, channels: Arc::new(channels), console: console.map(Into::into), thresholds }
    }

    /// The channels.
    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Checks and sends periodically, until aborted.
    pub async fn run(self) {
        let interval = (self.thresholds.wait / 5).clamp(MIN_INTERVAL, MAX_INTERVAL);
        loop {
            let began = Instant::now();
            let failures = self.due(clock::now_ms()).await;
            let rest = (began.elapsed() * SHARE).min(MAX_REST);
            let sent = match failures {
                Ok(failures) => self.report_and_send(&failures, clock::now_ms()).await,
                Err(error) => Err(error),
            };
            // The intake logs that the store is unavailable.
            if let Err(error) = sent {
                tracing::debug!(%error, "the check for alerts failed");
            }
            sleep(interval.max(rest)).await;
        }
    }

    /// Checks the failures once and sends the due alerts. Returns the number of messages accepted.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn check(&self, now_ms: i64) -> sqlx::Result<usize> {
        let failures = self.due(now_ms).await?;
        self.report_and_send(&failures, now_ms).await
    }

    async fn report_and_send(&self, failures: &[Failure], now_ms: i64) -> sqlx::Result<usize> {
        // Usually there is nothing to report; then nothing is written.
        if !failures.is_empty() {
            self.report(failures, now_ms).await?;
        }
        self.send_due(now_ms).await
    }

    /// Marks failures as reported and queues a message per channel.
    async fn report(&self, failures: &[Failure], now_ms: i64) -> sqlx::Result<()> {
        let mut transaction = self.desk.begin().await?;
        // Serialises the hosts, so that each event is reported once.
        sqlx::query("UPDATE stores SET id = id").execute(&mut *transaction).await?;
        let events = self.events(&mut transaction, failures, now_ms).await?;
        if events.is_empty() {
            return Ok(());
        }
        for (event, failure) in &events {
            mark_reported(&mut transaction, &failure.id, event.reported(failure, now_ms)).await?;
        }
        let text = Text::of(&events, self.console.as_deref());
        for channel in self.channels.names() {
            sqlx::query(
                "INSERT INTO alert_messages (id, channel, subject, body, created, attempts, due) \
                 VALUES ($1, $2, $3, $4, $5, 0, $5)",
            )
            .bind(sortable_id())
            .bind(channel)
            .bind(&text.subject)
            .bind(&text.body)
            .bind(now_ms)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await
    }

    /// Failures that have to be reported, by the conditions of [`rules::event`], at most [`MAX_EVENTS`]. Counting their
    /// dead letters takes a while, so it is done outside of the transaction that reports them; and only theirs are
    /// counted, because a store may have very many failures about which there is nothing to say.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn due(&self, now_ms: i64) -> sqlx::Result<Vec<Failure>> {
        let Thresholds { wait, repeat, growth, age } = self.thresholds;
        let mut clause = WhereClause::default();
        let recent = clause.bind(now_ms - failures::RECENT_MS);
        let mut open = |what: &str, since: Option<Duration>| {
            let since = since.map(|age| format!(" AND l.failed <= {}", clause.bind(now_ms - millis(age))));
            let since = since.unwrap_or_default();
            format!("(SELECT {what} FROM letters l WHERE l.failure_group = g.id AND l.state = 'open'{since})")
        };
        let (any, waited, aged) = (open("1", None), open("1", Some(wait)), open("1", Some(age)));
        let count = open("COUNT(*)", None);
        let repeated = clause.bind(now_ms - millis(repeat));
        clause.add(format!(
            "((a.state = 'raised' AND (NOT EXISTS {any} OR (a.aged = 0 AND EXISTS {aged}) \
              OR (a.reported <= {repeated} AND EXISTS {any} AND {count} / {growth} >= a.open_letters))) \
             OR ((a.state IS NULL OR (a.state <> 'raised' AND a.reported <= {repeated})) AND EXISTS {waited}))"
        ));
        let sql = format!(
            "{} LEFT JOIN alerts a ON a.failure_group = g.id {} LIMIT {MAX_EVENTS}",
            failures::select(&recent),
            clause.sql()
        );
        sql::fetch(&self.desk.pool, sql, &clause, failures::failure).await
    }

    /// The events to report now, compared with what has been reported.
    async fn events(
        &self,
        connection: &mut AnyConnection,
        failures: &[Failure],
        now_ms: i64,
    ) -> sqlx::Result<Vec<(Event, Failure)>> {
        let mut clause = WhereClause::default();
        let ids: Vec<String> = failures.iter().map(|failure| clause.bind(&failure.id[..])).collect();
        clause.add(format!("failure_group IN ({})", ids.join(", ")));
        let sql = "SELECT failure_group, state, reported, open_letters, aged FROM alerts";
        let rows = sql::query(format!("{sql} {}", clause.sql()), &clause).fetch_all(&mut *connection).await?;
        let known: HashMap<String, Reported> = rows.iter().map(reported).collect::<sqlx::Result<_>>()?;
        let events = failures.iter().filter_map(|failure| {
            let event = rules::event(failure, known.get(&failure.id), &self.thresholds, now_ms)?;
            Some((event, failure.clone()))
        });
        Ok(events.collect())
    }

    /// Sends the messages that are due. Returns the number accepted.
    async fn send_due(&self, now_ms: i64) -> sqlx::Result<usize> {
        let sql = format!(
            "SELECT id, channel, subject, body, created, attempts FROM alert_messages \
             WHERE due <= $1 OR due > $2 \
             ORDER BY created, id LIMIT {MAX_MESSAGES}"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(now_ms)
            .bind(latest(now_ms))
            .fetch_all(&self.desk.pool)
            .await?;
        let mut accepted = 0;
        for row in rows {
            let message = queued(&row)?;
            if !self.claim(&message.id, now_ms).await? {
                // Another host sends it.
                continue;
            }
            let result = self.channels.send(&message.channel, &message.id, &message.text).await;
            metrics::alert(&message.channel, if result.is_ok() { "sent" } else { "failed" });
            match result {
                Ok(()) => {
                    accepted += 1;
                    self.dequeue(&message.id).await?;
                }
                Err(rejection) => self.retry_later(&message, &rejection).await?,
            }
        }
        Ok(accepted)
    }

    async fn claim(&self, id: &str, now_ms: i64) -> sqlx::Result<bool> {
        let sql = sqlx::query(
            "UPDATE alert_messages SET due = $1, attempts = attempts + 1 \
             WHERE id = $2 AND (due <= $3 OR due > $4)",
        );
        let sql = sql.bind(now_ms + millis(CLAIM)).bind(id).bind(now_ms).bind(latest(now_ms));
        Ok(self.desk.write(sql).await?.rows_affected() == 1)
    }

    async fn retry_later(&self, message: &Queued, rejection: &Rejection) -> sqlx::Result<()> {
        let (now_ms, channel) = (clock::now_ms(), &message.channel[..]);
        if rejection.is_permanent || now_ms - message.created_ms > millis(RETRY_FOR) {
            tracing::error!(channel, "an alert was dropped: {}", rejection.reason);
            return self.dequeue(&message.id).await;
        }
        tracing::warn!(channel, "an alert was not accepted and will be retried: {}", rejection.reason);
        let pause = rejection.retry_after_ms.unwrap_or(0).max(millis(pause(message.attempts)));
        let sql = sqlx::query("UPDATE alert_messages SET due = $1 WHERE id = $2");
        self.desk.write(sql.bind(now_ms.saturating_add(pause)).bind(&message.id)).await?;
        Ok(())
    }

    async fn dequeue(&self, id: &str) -> sqlx::Result<()> {
        self.desk.write(sqlx::query("DELETE FROM alert_messages WHERE id = $1").bind(id)).await?;
        Ok(())
    }
}

/// The pause after this many earlier attempts.
/// The latest time at which a message can be due.
fn latest(now_ms: i64) -> i64 {
    now_ms.saturating_add(millis(MAX_DUE))
}

fn pause(attempts: i64) -> Duration {
    let pauses = ExponentialBuilder::new().with_min_delay(MIN_PAUSE).with_max_delay(MAX_PAUSE);
    let mut pauses = pauses.without_max_times().build();
    pauses.nth(usize::try_from(attempts).unwrap_or(0).min(20)).unwrap_or(MAX_PAUSE)
}

async fn mark_reported(
    connection: &mut AnyConnection,
    failure: &str,
    reported: Reported,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO alerts (failure_group, state, reported, open_letters, aged) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (failure_group) DO UPDATE SET state = excluded.state, reported = excluded.reported, \
         open_letters = excluded.open_letters, aged = excluded.aged",
    )
    .bind(failure)
    .bind(if reported.is_raised { "raised" } else { "recovered" })
    .bind(reported.at_ms)
    .bind(reported.open.cast_signed())
    .bind(i64::from(reported.is_aged))
    .execute(connection)
    .await?;
    Ok(())
}

fn reported(row: &AnyRow) -> sqlx::Result<(String, Reported)> {
    let (state, aged): (String, i64) = (row.try_get("state")?, row.try_get("aged")?);
    let reported = Reported {
        is_raised: state == "raised",
        at_ms: row.try_get("reported")?,
        open: sql::count(row, "open_letters")?,
        is_aged: aged != 0,
    };
    Ok((row.try_get("failure_group")?, reported))
}

fn queued(row: &AnyRow) -> sqlx::Result<Queued> {
    Ok(Queued {
        id: row.try_get("id")?,
        channel: row.try_get("channel")?,
        text: Text { subject: row.try_get("subject")?, body: row.try_get("body")? },
        created_ms: row.try_get("created")?,
        attempts: row.try_get("attempts")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let seconds = [0, 1, 2, 8, 9, 1000, -1].map(|attempts| pause(attempts).as_secs());
        assert_eq!(seconds, [1, 2, 4, 256, 300, 300, 1]);
    }
}
