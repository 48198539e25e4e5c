//! `host waiting list`.

use std::time::Duration;

use base::clock;
use base::error::UserError;
use base::text::counted;
use desk_api::{WaitingGroup, WaitingList, WaitingMessage};
use humantime_serde::re::humantime::format_duration;

use super::Conditions;
use crate::dlt::client::Client;
use crate::dlt::format::{age, fitted};
use crate::output::{self, Format, OutputArgs, cell, escaped, note};

/// Arguments of `host waiting list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    conditions: Conditions,
    /// Maximum number of messages
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    #[command(flatten)]
    output: OutputArgs,
}

/// Lists the messages that wait.
pub async fn run(client: &Client, args: Args) -> Result<(), UserError> {
    let mut query = args.conditions.filter().query_pairs();
    query.push(("limit", args.limit.to_string()));
    let list: WaitingList = client.get("/waiting", &query).await?;
    if args.output.format() == Format::Json {
        return output::print_json(&list);
    }
    for problem in &list.problems {
        note(format!(
            "the retry topics cannot be read, and the numbers may be out of date: {}",
            escaped(problem)
        ));
    }
    if list.unread > 0 {
        note(format!("not read yet, and not counted: {}", counted_messages(list.unread)));
    }
    if list.total == 0 {
        note(match list.as_of_ms {
            Some(_) => "no message is waiting",
            None => "the retry topics have not been read yet",
        });
        return Ok(());
    }
    output::print(groups(&list.groups))?;
    output::print("")?;
    output::print(messages(&list.messages))?;
    let shown = list.messages.len() as u64;
    if list.total > shown {
        note(format!("{} of {} shown; list more with --limit N", shown, counted_messages(list.total)));
    }
    Ok(())
}

/// A number of messages in words.
pub fn counted_messages(count: u64) -> String {
    counted(count, "message")
}

fn groups(groups: &[WaitingGroup]) -> String {
    let rows = groups.iter().map(|group| {
        [
            escaped(&group.plugin),
            escaped(&group.code),
            cell(group.delay_ms.map(|ms| format_duration(Duration::from_millis(ms)))),
            group.messages.to_string(),
            format!("+{}", group.recent),
            group.decided.to_string(),
            due(group.next_due_ms),
            due(group.last_due_ms),
            cell(group.first_failed_ms.map(age)),
        ]
    });
    let headings =
        ["PLUGIN", "CODE", ">TIER", ">MESSAGES", ">5MIN", ">DECIDED", ">NEXT", ">LAST", ">FAILING"];
    fitted(headings, rows.collect())
}

fn messages(messages: &[WaitingMessage]) -> String {
    let rows = messages.iter().map(|message| {
        let decision = message.decision.as_ref();
        let decision =
            decision.map(|decision| format!("{} by {}", decision.action.as_str(), escaped(&decision.actor)));
        [
            escaped(&message.record),
            due(message.due_ms),
            message.attempt.to_string(),
            escaped(&message.code),
            cell(decision),
            escaped(&message.message),
            escaped(&message.detail),
        ]
    });
    fitted(["RECORD", ">DUE", ">ATTEMPT", "CODE", "DECISION", "MESSAGE", "DETAIL"], rows.collect())
}

/// The time until a message is due, in one unit.
fn due(due_ms: i64) -> String {
    let seconds = due_ms.saturating_sub(clock::now_ms()).max(0) / 1000;
    match seconds {
        0 => "now".to_owned(),
        1..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        _ => format!("{}h", seconds / 3600),
    }
}
