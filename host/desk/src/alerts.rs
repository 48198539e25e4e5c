//! Alerts: people are told what fails, grows, stays, and is mended; not once a message.
//!
//! Whether something is to be said is decided in one transaction, which also writes down that it was said and
//! what is to be sent: of several hosts with one store, one says it. A message is sent until its channel takes
//! it, each channel by itself; a host that dies between sending and writing that down sends it once more.

mod channel;
mod message;
mod rules;
mod settings;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base::clock;
use reqwest::Url;
use sandbox::capabilities::mail::mailer::Email;
use sqlx::{AnyConnection, Row as _};
use tokio::time::{MissedTickBehavior, interval};

pub use self::channel::Channels;
use self::message::Text;
pub use self::rules::Thresholds;
use self::rules::{Event, Reported};
use crate::filter::{self, Where};
use crate::groups::{self, Group};
use crate::metrics;
use crate::{Desk, new_id};

/// How often it is looked at most and at least.
const LOOK: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// For how long a message is one process's while it is sent, in milliseconds: longer than a channel takes.
const CLAIM_MS: i64 = 60_000;
/// How long a channel is tried, in milliseconds.
const GIVE_UP_MS: i64 = 24 * 3_600_000;
/// The pauses between attempts, in milliseconds: the first one, doubled up to the longest.
const PAUSE_MS: (i64, i64) = (1_000, 300_000);
/// Messages that are sent in one go.
const ROUND: u32 = 20;

/// Where alerts go.
#[derive(Debug, Clone)]
pub struct Places {
    /// A webhook that takes Slack's form.
    pub webhook: Option<Url>,
    /// The e-mail, without its subject and text.
    pub mail: Option<Email>,
    /// Where people reach the console.
    pub console: Option<String>,
}

/// Tells people.
#[derive(Clone)]
pub struct Alerts {
    desk: Desk,
    channels: Arc<Channels>,
    console: Option<Arc<str>>,
    thresholds: Thresholds,
}

impl Alerts {
    /// About the letters of this desk.
    pub fn new(desk: Desk, channels: Channels, console: Option<String>, thresholds: Thresholds) -> Self {
        Self { desk, channels: Arc::new(channels), console: console.map(Into::into), thresholds }
    }

    /// The channels.
    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Looks, tells, and goes on until it is aborted.
    pub async fn run(self) {
        let mut turns = interval((self.thresholds.wait / 5).clamp(LOOK.0, LOOK.1));
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            // The intake says that the store is away.
            if let Err(error) = self.turn(clock::now_ms()).await {
                tracing::debug!(%error, "nothing is said about dead letters");
            }
        }
    }

    /// Looks once, and sends what is to be sent. Returns how many messages their channels took.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn turn(&self, now_ms: i64) -> sqlx::Result<usize> {
        // Most of the time there is nothing to say, and nothing to be written.
        let mut connection = self.desk.pool.acquire().await?;
        let events = self.events(&mut connection, now_ms).await?;
        drop(connection);
        if !events.is_empty() {
            self.decide(now_ms).await?;
        }
        self.send(now_ms).await
    }

    async fn decide(&self, now_ms: i64) -> sqlx::Result<()> {
        let mut transaction = self.desk.begin().await?;
        // One at a time, of all hosts: each thing is said once.
        sqlx::query("UPDATE stores SET id = id").execute(&mut *transaction).await?;
        let events = self.events(&mut transaction, now_ms).await?;
        if events.is_empty() {
            return Ok(());
        }
        for (event, group) in &events {
            let Reported { raised, open, aged, .. } = event.reported(group, now_ms);
            sqlx::query(
                "INSERT INTO alerts (failure_group, state, reported, open_letters, aged) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (failure_group) DO UPDATE SET state = excluded.state, reported = excluded.reported, \
                 open_letters = excluded.open_letters, aged = excluded.aged",
            )
            .bind(&group.id)
            .bind(if raised { "raised" } else { "recovered" })
            .bind(now_ms)
            .bind(open.cast_signed())
            .bind(i64::from(aged))
            .execute(&mut *transaction)
            .await?;
        }
        let text = Text::of(&events, self.console.as_deref());
        for channel in self.channels.names() {
            sqlx::query(
                "INSERT INTO alert_messages (id, channel, subject, body, created, attempts, due) \
                 VALUES ($1, $2, $3, $4, $5, 0, $5)",
            )
            .bind(new_id())
            .bind(channel)
            .bind(&text.subject)
            .bind(&text.body)
            .bind(now_ms)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await
    }

    /// What is to be said now.
    async fn events(&self, connection: &mut AnyConnection, now_ms: i64) -> sqlx::Result<Vec<(Event, Group)>> {
        let rows = sqlx::query("SELECT failure_group, state, reported, open_letters, aged FROM alerts")
            .fetch_all(&mut *connection)
            .await?;
        let mut known: HashMap<String, Reported> = HashMap::new();
        for row in rows {
            let (state, aged): (String, i64) = (row.try_get("state")?, row.try_get("aged")?);
            let open: i64 = row.try_get("open_letters")?;
            let reported = Reported {
                raised: state == "raised",
                at_ms: row.try_get("reported")?,
                open: open.unsigned_abs(),
                aged: aged != 0,
            };
            known.insert(row.try_get("failure_group")?, reported);
        }
        let mut with = Where::default();
        let recent = with.next(now_ms - groups::RECENT_MS);
        with.must(
            "(EXISTS (SELECT 1 FROM letters l WHERE l.failure_group = g.id AND l.state = 'open') \
             OR g.id IN (SELECT failure_group FROM alerts WHERE state = 'raised'))"
                .to_owned(),
        );
        let sql = format!("{} {}", groups::select(&recent), with.sql());
        let groups: Vec<Group> = filter::rows(sql, &with).fetch_all(connection).await?;
        let events = groups.into_iter().filter_map(|group| {
            let event = rules::event(&group, known.get(&group.id), &self.thresholds, now_ms)?;
            Some((event, group))
        });
        Ok(events.collect())
    }

    /// Sends what is due.
    async fn send(&self, now_ms: i64) -> sqlx::Result<usize> {
        let due = format!(
            "SELECT id, channel, subject, body, created, attempts FROM alert_messages WHERE due <= $1 \
             ORDER BY created, id LIMIT {ROUND}"
        );
        let due = sqlx::query(sqlx::AssertSqlSafe(due)).bind(now_ms).fetch_all(&self.desk.pool).await?;
        let mut taken = 0;
        for row in due {
            let (id, channel): (String, String) = (row.try_get("id")?, row.try_get("channel")?);
            let claimed = sqlx::query(
                "UPDATE alert_messages SET due = $1, attempts = attempts + 1 WHERE id = $2 AND due <= $3",
            )
            .bind(now_ms + CLAIM_MS)
            .bind(&id)
            .bind(now_ms)
            .execute(&self.desk.pool)
            .await?;
            if claimed.rows_affected() == 0 {
                // Another host has it.
                continue;
            }
            let text = Text { subject: row.try_get("subject")?, body: row.try_get("body")? };
            let answer = self.channels.send(&channel, &id, &text).await;
            let result = if answer.is_ok() { "sent" } else { "failed" };
            metrics::alert(&channel, result);
            match answer {
                Ok(()) => {
                    taken += 1;
                    self.forget(&id).await?;
                }
                Err(why) => {
                    let (created, attempts): (i64, i64) = (row.try_get("created")?, row.try_get("attempts")?);
                    self.failed(&id, &channel, &why, created, attempts).await?;
                }
            }
        }
        Ok(taken)
    }

    async fn failed(
        &self,
        id: &str,
        channel: &str,
        why: &channel::Refused,
        created: i64,
        attempts: i64,
    ) -> sqlx::Result<()> {
        let now_ms = clock::now_ms();
        if why.permanent || now_ms - created > GIVE_UP_MS {
            tracing::error!(channel, "an alert is given up: {}", why.what);
            return self.forget(id).await;
        }
        tracing::warn!(channel, "an alert was not taken, and is sent again later: {}", why.what);
        let doubled = PAUSE_MS.0.saturating_mul(1 << attempts.clamp(0, 20)).min(PAUSE_MS.1);
        let pause = why.after_ms.unwrap_or(0).max(doubled);
        sqlx::query("UPDATE alert_messages SET due = $1 WHERE id = $2")
            .bind(now_ms.saturating_add(pause))
            .bind(id)
            .execute(&self.desk.pool)
            .await?;
        Ok(())
    }

    async fn forget(&self, id: &str) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM alert_messages WHERE id = $1").bind(id).execute(&self.desk.pool).await?;
        Ok(())
    }
}
