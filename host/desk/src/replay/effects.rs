//! What the messages of a replay have sent already, according to the ledger.

use std::time::Duration;

use base::clock::{self, millis};
use base::text::counted;
use desk_api::{DeadLetterState, Filter, ReplayEffects, ReplayPlan};

use super::preview::sum_of;
use super::store;
use crate::Desk;
use crate::sql::{self, WhereClause};

/// How much older than a message's first failure its effects may be.
const CALL_TIME: Duration = Duration::from_secs(3600);

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
    /// Counts the effects of the messages that a replay would send.
    pub(super) async fn sent_effects(
        &self,
        filter: &Filter,
        ids: Option<&[String]>,
        plan: &ReplayPlan,
        keep: Duration,
    ) -> sqlx::Result<ReplayEffects> {
        let mut all = ReplayEffects::default();
        if filter.state.is_some_and(|state| state != DeadLetterState::Open) {
            return Ok(all);
        }
        for chunk in store::id_chunks(ids) {
            let some = self.chunk_effects(filter, chunk, plan, keep).await?;
            all.sent += some.sent;
            all.in_doubt += some.in_doubt;
            all.unknown += some.unknown;
        }
        Ok(all)
    }

    async fn chunk_effects(
        &self,
        filter: &Filter,
        ids: Option<&[String]>,
        plan: &ReplayPlan,
        keep: Duration,
    ) -> sqlx::Result<ReplayEffects> {
        let since: Option<i64> =
            sqlx::query_scalar("SELECT MAX(effects_since) FROM stores").fetch_one(&self.pool).await?;
        let since = since.unwrap_or(0);
        let mut clause = WhereClause::default();
        let keep_ms = millis(keep.saturating_sub(CALL_TIME));
        let active_ms = self.active_at(clock::now_ms()).await?;
        store::sendable(&mut clause, &self.store, filter, ids, plan, active_ms);
        let effect = |condition: &str| {
            format!(
                "EXISTS (SELECT 1 FROM effects WHERE effects.message = letters.message \
                 AND effects.consumer_group = letters.consumer_group AND {condition})"
            )
        };
        // The effects of open dead letters are kept, but not from before they arrived or were restored, and not by
        // an older host. An edited copy is a message of its own.
        let first = "COALESCE(first_failed, failed)";
        let late = format!(
            "edited_from IS NULL AND ({first} < taken - {keep_ms} OR {first} < state_since - {keep_ms} \
             OR (taken < {since} AND {first} < {since} - {keep_ms}))"
        );
        // Each kind is found once, and no row is sorted.
        let sql = format!(
            "WITH kinds AS MATERIALIZED (SELECT CASE WHEN {} THEN 1 WHEN {} THEN 2 WHEN {late} THEN 3 ELSE 0 END \
             AS kind FROM letters {}) SELECT {}, {}, {} FROM kinds",
            effect("answer IS NULL"),
            effect("answer IS NOT NULL"),
            clause.sql(),
            sum_of("kind = 1", "in_doubt"),
            sum_of("kind = 2", "sent"),
            sum_of("kind = 3", "unknown")
        );
        let row = sql::query(sql, &clause).fetch_one(&self.pool).await?;
        let count = |kind| sql::count(&row, kind);
        Ok(ReplayEffects { sent: count("sent")?, in_doubt: count("in_doubt")?, unknown: count("unknown")? })
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
