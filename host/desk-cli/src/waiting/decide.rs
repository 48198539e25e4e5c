//! `host waiting run-now`, `postpone` and `give-up`.

use std::time::Duration;

use base::error::UserError;
use base::{clock, text};
use desk_api::{WaitingAction, WaitingAnswer, WaitingList, WaitingRequest};
use humantime_serde::re::humantime;

use super::Conditions;
use super::list::counted_messages;
use crate::confirm;
use crate::dlt::client::Client;
use crate::output::OutputArgs;

/// The messages that are selected.
#[derive(Debug, clap::Args)]
struct Select {
    /// Records of messages: TOPIC/PARTITION/OFFSET, as host waiting list shows them
    #[arg(value_name = "RECORD", conflicts_with_all = ["plugin", "code", "topic", "count"])]
    records: Vec<String>,
    #[command(flatten)]
    conditions: Conditions,
    /// Select all messages that match, this number at most; prompted for on a terminal
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `host waiting run-now`.
#[derive(Debug, clap::Args)]
pub struct RunNow {
    #[command(flatten)]
    select: Select,
    /// Reason for the audit log
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
}

/// Arguments of `host waiting postpone`.
#[derive(Debug, clap::Args)]
pub struct Postpone {
    #[command(flatten)]
    select: Select,
    /// Time that is added to each due time, such as 10m or 2h
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, required_unless_present = "until")]
    by: Option<Duration>,
    /// New due time, such as 2026-11-30T10:20, at most 24 hours ahead; of this machine's time zone (TZ) unless an
    /// offset or Z follows
    #[arg(long, value_name = "TIME", value_parser = timestamp, conflicts_with = "by")]
    until: Option<i64>,
    /// Reason for the audit log
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
}

/// Arguments of `host waiting give-up`.
#[derive(Debug, clap::Args)]
pub struct GiveUp {
    #[command(flatten)]
    select: Select,
    /// Reason for the audit log and the dead letters; prompted for on a terminal
    #[arg(long)]
    reason: Option<String>,
}

/// Runs messages now.
pub async fn run_now(client: &Client, args: RunNow) -> Result<(), UserError> {
    let request = WaitingRequest { reason: args.reason, ..WaitingRequest::default() };
    decide(client, WaitingAction::RunNow, args.select, request).await
}

/// Postpones messages.
pub async fn postpone(client: &Client, args: Postpone) -> Result<(), UserError> {
    let (by_ms, until_ms) = (args.by.map(clock::millis), args.until);
    let request = WaitingRequest { by_ms, until_ms, reason: args.reason, ..WaitingRequest::default() };
    decide(client, WaitingAction::Postpone, args.select, request).await
}

/// Gives messages up.
pub async fn give_up(client: &Client, args: GiveUp) -> Result<(), UserError> {
    let reason = confirm::reason(args.reason, "giving up")?;
    let request = WaitingRequest { reason, ..WaitingRequest::default() };
    decide(client, WaitingAction::GiveUp, args.select, request).await
}

async fn decide(
    client: &Client,
    action: WaitingAction,
    select: Select,
    mut request: WaitingRequest,
) -> Result<(), UserError> {
    let output = select.output;
    if select.records.is_empty() {
        request.filter = select.conditions.filter();
        request.count = Some(match select.count {
            Some(count) => count,
            None => asked_count(client, &request).await?,
        });
    }
    request.records = select.records;
    let answer: WaitingAnswer = client.post(&format!("/waiting/{}", action.as_str()), &request).await?;
    output.report(&answer, || summary(action, &answer))
}

/// The number of all messages that match, as somebody at the terminal confirms it.
async fn asked_count(client: &Client, request: &WaitingRequest) -> Result<u64, UserError> {
    let mut query = request.filter.query_pairs();
    query.push(("limit", "1".to_owned()));
    let WaitingList { total, .. } = client.get("/waiting", &query).await?;
    let matching = counted_messages(total);
    if !confirm::is_interactive() {
        let what = format!("no message is selected; nothing was changed. All that match are {matching}");
        return Err(UserError::usage(what)
            .help("select messages by their records: host waiting list")
            .help(format!("or all that match: --count {total}")));
    }
    let typed = confirm::prompt(&format!("All that match are {matching}. Type the number to confirm: "))?;
    typed
        .replace(',', "")
        .parse()
        .map_err(|_| UserError::unavailable("this is not a number; nothing was changed"))
}

fn summary(action: WaitingAction, answer: &WaitingAnswer) -> String {
    let WaitingAnswer { decided, obeyed, too_late, replaced, unanswered, gone } = answer;
    let parts = [
        (obeyed, "applied"),
        (too_late, "too late, already started"),
        (replaced, "replaced by another decision"),
        (unanswered, "not confirmed yet: see host waiting list"),
        (gone, "no longer waiting"),
    ];
    let parts = parts.into_iter().filter(|(number, _)| **number > 0);
    let parts: Vec<String> = parts.map(|(number, what)| format!("{number} {what}")).collect();
    let separator = if parts.is_empty() { "" } else { ": " };
    format!("{} {}{separator}{}", action.as_str(), counted_messages(*decided), parts.join(", "))
}

/// Milliseconds since the Unix epoch.
fn timestamp(text: &str) -> Result<i64, String> {
    let expected = "expected a time such as 2026-11-30T10:20 or 2026-11-30T10:20:00Z";
    text::time(text).ok_or_else(|| expected.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_what_a_decision_did() {
        let answer = WaitingAnswer { decided: 3, obeyed: 2, too_late: 1, ..WaitingAnswer::default() };
        let text = summary(WaitingAction::GiveUp, &answer);
        assert_eq!(text, "give-up 3 messages: 2 applied, 1 too late, already started");
        let text = summary(WaitingAction::RunNow, &WaitingAnswer::default());
        assert_eq!(text, "run-now 0 messages");
    }

    #[test]
    fn a_time_without_an_offset_is_of_this_machines_zone() {
        assert_eq!(timestamp("2026-11-30T10:20:00Z"), Ok(1_796_034_000_000));
        assert_eq!(timestamp("2026-11-30T19:20+09:00"), Ok(1_796_034_000_000));
        assert_eq!(timestamp("2026-11-30T10:20").ok(), text::time("2026-11-30T10:20"));
        assert!(timestamp("10m").is_err_and(|error| error.contains("2026-11-30T10:20")));
    }
}
