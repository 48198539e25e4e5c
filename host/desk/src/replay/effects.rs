//! What the messages of a replay have sent already, according to the ledger.

use std::time::Duration;

use base::clock::millis;
use base::text::counted;
use desk_api::ReplayEffects;

use crate::Desk;

/// How much older than a message's first failure its effects may be.
const CALL_TIME: Duration = Duration::from_secs(3600);

/// The kinds of effects in the answers of the store. Of those of one message, the greatest counts.
pub(super) const NONE: i64 = 0;
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

/// SQL for the effects of a dead letter's message, as [`count`] understands it.
pub(super) async fn kind(desk: &Desk, keep: Duration) -> sqlx::Result<String> {
    let since: Option<i64> =
        sqlx::query_scalar("SELECT MAX(effects_since) FROM stores").fetch_one(&desk.pool).await?;
    let (since, keep_ms) = (since.unwrap_or(0), millis(keep.saturating_sub(CALL_TIME)));
    // The effects of open dead letters are kept, but not from before they arrived or were restored, and not by
    // an older host. An edited copy is a message of its own.
    let first = "COALESCE(first_failed, failed)";
    let late = format!(
        "edited_from IS NULL AND ({first} < taken - {keep_ms} OR {first} < state_since - {keep_ms} \
         OR (taken < {since} AND {first} < {since} - {keep_ms}))"
    );
    Ok(format!(
        "COALESCE((SELECT MAX(CASE WHEN answer IS NULL THEN {IN_DOUBT} ELSE {SENT} END) FROM effects \
         WHERE effects.message = letters.message AND effects.consumer_group = letters.consumer_group), \
         CASE WHEN {late} THEN {UNKNOWN} ELSE {NONE} END)"
    ))
}

/// Counts messages with effects of this kind.
pub(super) fn count(effects: &mut ReplayEffects, kind: i64, messages: u64) {
    match kind {
        SENT => effects.sent += messages,
        IN_DOUBT => effects.in_doubt += messages,
        UNKNOWN => effects.unknown += messages,
        _ => {}
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
