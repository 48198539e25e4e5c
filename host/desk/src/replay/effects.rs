//! What the messages of a replay have sent already, according to the ledger.

use std::collections::BTreeMap;
use std::time::Duration;

use base::clock::millis;
use base::text::counted;
use desk_api::ReplayEffects;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::store::{Sendable, Source};
use crate::{Desk, sql};

/// How much older than a message's first failure its effects may be.
const CALL_TIME: Duration = Duration::from_secs(3600);

/// The effects of a dead letter's message.
const EFFECTS: &str = "FROM effects WHERE effects.message = letters.message \
                       AND effects.consumer_group = letters.consumer_group";

/// The kinds of effects in the answers of the store. Of those of one message, the greatest counts.
const NONE: i64 = 0;
const SENT: i64 = 1;
const IN_DOUBT: i64 = 2;
const UNKNOWN: i64 = 3;

/// The warnings about these effects.
pub(super) fn warnings(effects: &ReplayEffects, keep: Duration) -> Vec<String> {
    let ReplayEffects { sent, in_doubt, unknown } = *effects;
    let days = keep.as_secs_f64() / 86_400.0;
    let sent = (sent > 0).then(|| {
        format!("{} sent e-mails or requests before; these are not sent again", counted(sent, "message"))
    });
    let in_doubt = (in_doubt > 0).then(|| {
        format!(
            "{} an e-mail or request in doubt: it may have been sent, and is sent again unless the plugin has \
             unsettled = \"dead-letter\"",
            has(in_doubt)
        )
    });
    let unknown = (unknown > 0).then(|| {
        format!(
            "the ledger, which keeps effects for {days:.1} days, cannot tell what {} sent before; it is sent again",
            counted(unknown, "message")
        )
    });
    [sent, in_doubt, unknown].into_iter().flatten().collect()
}

fn has(messages: u64) -> String {
    let verb = if messages == 1 { "has" } else { "have" };
    format!("{} {verb}", counted(messages, "message"))
}

impl Desk {
    /// Topics and groups of these dead letters, and the numbers of messages with effects among them, for a ledger that
    /// keeps effects for this time.
    ///
    /// # Errors
    /// The store is unavailable.
    pub(super) async fn sources_and_effects(
        &self,
        sendable: &Sendable,
        keep: Duration,
    ) -> sqlx::Result<(Vec<Source>, ReplayEffects)> {
        let late = self.late(keep).await?;
        // For a few ids, PostgreSQL would join the whole ledger too.
        if self.store.has_hash_joins() && !sendable.by_id {
            return tokio::try_join!(self.sources(sendable), self.joined(sendable, &late));
        }
        self.looked_up(sendable, &late).await
    }

    /// SQL for the condition of dead letters whose effects the ledger may have forgotten.
    async fn late(&self, keep: Duration) -> sqlx::Result<String> {
        let since: Option<i64> =
            sqlx::query_scalar("SELECT MAX(effects_since) FROM stores").fetch_one(&self.pool).await?;
        let (since, keep_ms) = (since.unwrap_or(0), millis(keep.saturating_sub(CALL_TIME)));
        // The effects of open dead letters are kept, but not from before they arrived or were restored, and not by
        // an older host. An edited copy is a message of its own.
        let first = "COALESCE(first_failed, failed)";
        Ok(format!(
            "edited_from IS NULL AND ({first} < taken - {keep_ms} OR {first} < state_since - {keep_ms} \
             OR (taken < {since} AND {first} < {since} - {keep_ms}))"
        ))
    }

    /// One pass with a look into the ledger for each dead letter.
    async fn looked_up(&self, sendable: &Sendable, late: &str) -> sqlx::Result<(Vec<Source>, ReplayEffects)> {
        let (mut sources, mut effects) = (BTreeMap::new(), ReplayEffects::default());
        for clause in &sendable.clauses {
            let sql = format!(
                "SELECT source, consumer_group, kind, COUNT(*) AS count FROM (SELECT source, consumer_group, COALESCE(\
                 (SELECT MAX(CASE WHEN answer IS NULL THEN {IN_DOUBT} ELSE {SENT} END) {EFFECTS}), \
                 CASE WHEN {late} THEN {UNKNOWN} ELSE {NONE} END) AS kind FROM letters {}) kinds \
                 GROUP BY source, consumer_group, kind",
                clause.sql()
            );
            let counted = |row: &AnyRow| {
                Ok(((row.try_get(0)?, row.try_get(1)?), sql::narrow(row, "kind")?, sql::count(row, "count")?))
            };
            for (source, kind, messages) in sql::fetch(&self.pool, sql, clause, counted).await? {
                *sources.entry(source).or_default() += messages;
                match kind {
                    SENT => effects.sent += messages,
                    IN_DOUBT => effects.in_doubt += messages,
                    UNKNOWN => effects.unknown += messages,
                    _ => {}
                }
            }
        }
        Ok((Source::all(sources), effects))
    }

    /// A pass for each kind, for which the database joins dead letters and ledger.
    async fn joined(&self, sendable: &Sendable, late: &str) -> sqlx::Result<ReplayEffects> {
        let mut effects = ReplayEffects::default();
        for clause in &sendable.clauses {
            let letters = format!("SELECT COUNT(*) FROM letters {}", clause.sql());
            // The last one is no join: few are late, if any.
            let sql = format!(
                "SELECT ({letters} AND EXISTS (SELECT 1 {EFFECTS})) AS has_effects, \
                 ({letters} AND EXISTS (SELECT 1 {EFFECTS} AND answer IS NULL)) AS in_doubt, \
                 ({letters} AND {late} AND (SELECT COUNT(*) {EFFECTS}) = 0) AS unknown"
            );
            let row = sql::query(sql, clause).fetch_one(&self.pool).await?;
            let in_doubt = sql::count(&row, "in_doubt")?;
            effects.in_doubt += in_doubt;
            effects.sent += sql::count(&row, "has_effects")?.saturating_sub(in_doubt);
            effects.unknown += sql::count(&row, "unknown")?;
        }
        Ok(effects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_warns_of_everything_that_is_or_may_be_sent_again() {
        let keep = Duration::from_secs(7 * 86_400);
        assert!(warnings(&ReplayEffects::default(), keep).is_empty());
        let effects = ReplayEffects { sent: 2, in_doubt: 1, unknown: 3 };
        assert_eq!(
            warnings(&effects, keep),
            [
                "2 messages sent e-mails or requests before; these are not sent again",
                "1 message has an e-mail or request in doubt: it may have been sent, and is sent again unless the \
                 plugin has unsettled = \"dead-letter\"",
                "the ledger, which keeps effects for 7.0 days, cannot tell what 3 messages sent before; it is sent \
                 again",
            ]
        );
    }
}
