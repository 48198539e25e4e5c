//! The output of `host groups adopt`.

use base::error::UserError;
use consumer::subscription::Subscription;
use serde::Serialize;

use super::plan::{Direction, Move};
use super::{Args, sides};
use desk_cli::output::{self, note};

#[derive(Serialize)]
struct Row<'a> {
    topic: &'a str,
    partition: i32,
    from_group: String,
    to_group: String,
    offset: Option<i64>,
    before: Option<i64>,
    waiting: i64,
}

/// Prints the committed offsets and the next steps.
///
/// # Errors
/// stdout cannot be written.
pub fn print(args: &Args, all: &[(&Subscription, Vec<Move>)], to: Direction) -> Result<(), UserError> {
    let rows: Vec<Row<'_>> = all
        .iter()
        .flat_map(|(subscription, moves)| {
            moves.iter().map(move |m| {
                let (from_group, to_group) = sides(subscription, &m.suffix, to);
                let Move { topic, partition, offset, before, waiting, .. } = m;
                Row {
                    topic,
                    partition: *partition,
                    from_group,
                    to_group,
                    offset: *offset,
                    before: *before,
                    waiting: *waiting,
                }
            })
        })
        .collect();
    args.output.print(&rows, || table(&rows))?;
    note_omitted(&rows, to);
    note(if args.dry_run { "Nothing was changed." } else { "Done." });
    match to {
        Direction::Host => note("Start this host, and leave Spring stopped."),
        Direction::Spring => {
            for (subscription, _) in all {
                note(format_args!(
                    "Start Spring for {} with\n  {}",
                    subscription.topic,
                    annotation(subscription)
                ));
            }
        }
    }
    Ok(())
}

fn table(rows: &[Row<'_>]) -> String {
    let headings = ["TOPIC", ">PARTITION", "FROM GROUP", "TO GROUP", ">BEFORE", ">COMMITTED", ">WAITING"];
    let cells = rows.iter().map(|row| {
        [
            row.topic.to_owned(),
            row.partition.to_string(),
            row.from_group.clone(),
            row.to_group.clone(),
            output::cell(row.before),
            output::cell(row.offset),
            row.waiting.to_string(),
        ]
    });
    output::table(headings, cells)
}

/// Notes partitions for which the side that stops has no committed offset; the other side's offset remains.
fn note_omitted(rows: &[Row<'_>], to: Direction) {
    let (off, begins) = match to {
        Direction::Host => ("Spring", "this host starts at the first message"),
        Direction::Spring => {
            ("this host", "Spring starts at its auto-offset-reset: set it to earliest, or messages are lost")
        }
    };
    let (new, known): (Vec<&Row<'_>>, Vec<&Row<'_>>) =
        rows.iter().filter(|row| row.offset.is_none()).partition(|row| row.before.is_none());
    for (rows, result) in [(new, begins), (known, "the previous offset remains")] {
        if !rows.is_empty() {
            let names: Vec<String> =
                rows.iter().map(|row| format!("{}[{}]", row.topic, row.partition)).collect();
            note(format_args!("note: {off} has committed no offset for {}; {result}", names.join(", ")));
        }
    }
}

/// Spring's annotation for this host's policy.
fn annotation(subscription: &Subscription) -> String {
    let retry = subscription.policy.retry();
    let longest = subscription.policy.tiers_ms().last().copied().unwrap_or_default();
    // Spring's default for the maximum delay is 30 s.
    let capped = longest == retry.max_delay_ms || longest > 30_000;
    let max = if capped { format!(", maxDelay = {longest}") } else { String::new() };
    let dead = subscription.dead_letter_topic.strip_prefix(&subscription.topic).unwrap_or("?");
    format!(
        "@RetryableTopic(attempts = \"{}\", backoff = @Backoff(delay = {}, multiplier = {:?}{max}), dltTopicSuffix = \"{dead}\")",
        retry.retries.saturating_add(1),
        retry.delay_ms,
        retry.multiplier,
    )
}
