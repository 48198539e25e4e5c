//! `host dlt show`.

use base::bytes::Bytes;
use base::error::UserError;
use base::text;
use desk_api::{AuditEntry, DeadLetter, Location, MAX_PAGE, Page, json};
use kafka::header_value::header_value;
use serde::Serialize;

use super::client::{Client, check_id};
use super::format::{age, item_fate, short, suffix};
use crate::output::{OutputArgs, escaped};

/// Arguments of `host dlt show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the dead letter, or a unique prefix of it
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Details {
    #[serde(flatten)]
    dead_letter: DeadLetter,
    audit_log: Vec<AuditEntry>,
}

/// Shows a dead letter.
pub async fn run(client: &Client, args: &Args) -> Result<(), UserError> {
    let dead_letter = fetch(client, &args.id).await?;
    let path = format!("/dead-letters/{}/audit-log", dead_letter.id);
    let audit_log: Page<AuditEntry> = client.get(&path, &[("limit", MAX_PAGE.to_string())]).await?;
    let details = Details { dead_letter, audit_log: audit_log.items };
    args.output.print(&details, || page(&details))
}

/// The dead letter with this id or unique prefix of an id.
pub async fn fetch(client: &Client, id: &str) -> Result<DeadLetter, UserError> {
    client.get(&format!("/dead-letters/{}", check_id(id, "host dlt list")?), &[]).await
}

fn page(details: &Details) -> String {
    let dead_letter = &details.dead_letter;
    let mut lines = summary(dead_letter);
    lines.push("\ntimeline".to_owned());
    lines.extend(timeline(details).into_iter().map(|(at, what)| format!("  {}  {what}", text::local(at))));
    if !dead_letter.backtrace.is_empty() {
        lines.push("\nbacktrace".to_owned());
        lines.push(indented(&text::block(dead_letter.backtrace.as_bytes())));
    }
    lines.push("\nheaders".to_owned());
    for (name, value) in &dead_letter.headers {
        let value = header_value(&name.0, value.as_ref().map(|value| &value.0[..]));
        lines.push(format!("  {}: {value}", text::line(&name.0)));
    }
    let key = dead_letter.key.as_ref().map_or("null".to_owned(), |key| text::line(&key.0));
    lines.push(format!("\nkey    {key}"));
    lines.push("\nvalue".to_owned());
    lines.push(indented(&value(dead_letter)));
    lines.join("\n")
}

fn summary(dead_letter: &DeadLetter) -> Vec<String> {
    let state = dead_letter.state.as_str();
    let since = dead_letter.state_since_ms;
    let failure = &dead_letter.failure;
    let digest = suffix("  digest ", &dead_letter.digest);
    let optional = |name: &str, text: &str| (!text.is_empty()).then(|| format!("{name}{}", escaped(text)));
    [
        Some(format!("id         {}", escaped(&dead_letter.id))),
        Some(format!("state      {state} since {} ({} ago)", text::local(since), age(since))),
        dead_letter.outcome.as_ref().map(|item| {
            format!("outcome    {}  (host dlt replays show {})", item_fate(item), short(&item.replay))
        }),
        Some(format!("code       {}", escaped(&dead_letter.code))),
        optional("detail     ", &dead_letter.detail),
        optional("exception  ", &dead_letter.exception),
        Some(format!("plugin     {}{digest}", escaped(&dead_letter.plugin))),
        Some(format!("failure    {}  (host dlt list --failure {})", escaped(failure), short(failure))),
        Some(format!("group      {}", escaped(&dead_letter.consumer_group))),
        Some(format!("message    {}", escaped(&dead_letter.message))),
        Some(format!("source     {}", location(&dead_letter.source))),
        dead_letter.location.as_ref().map(|record| format!("record     {}", location(record))),
        Some(format!("attempts   {}", dead_letter.attempts)),
        Some(format!("replays    {}", dead_letter.replays)),
        optional("copy of    ", dead_letter.edited_from.as_deref().unwrap_or_default()),
        optional("edited as  ", dead_letter.edited_as.as_deref().unwrap_or_default()),
        optional("again of   ", dead_letter.failed_again_of.as_deref().unwrap_or_default()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn location(location: &Location) -> String {
    let Location { topic, partition, offset } = location;
    format!("{} partition {partition} offset {offset}", escaped(topic))
}

fn timeline(details: &Details) -> Vec<(i64, String)> {
    let dead_letter = &details.dead_letter;
    let mut events = Vec::new();
    events.extend(dead_letter.source_timestamp_ms.map(|at| (at, "published".to_owned())));
    events.extend(dead_letter.first_failed_ms.map(|at| (at, "first failure".to_owned())));
    let attempts = text::counted(dead_letter.attempts, "attempt");
    // The clocks of a record and of its failure may differ by some milliseconds.
    let failed_ms = dead_letter.failed_ms.max(dead_letter.first_failed_ms.unwrap_or_default());
    events.push((failed_ms, format!("dead-lettered after {attempts}")));
    events.push((dead_letter.ingested_ms, "stored by the desk".to_owned()));
    events.extend(details.audit_log.iter().map(|entry| {
        let reason = suffix(": ", &entry.reason);
        (entry.at_ms, format!("{} by {}{reason}", escaped(&entry.action), escaped(&entry.actor)))
    }));
    events.sort_by_key(|(at, _)| *at);
    events
}

fn value(dead_letter: &DeadLetter) -> String {
    match (&dead_letter.value, dead_letter.value_cut) {
        (None, Some(size)) => {
            format!("(cut: its {size} bytes exceeded the dead-letter topic's size limit)")
        }
        (None, None) => "null".to_owned(),
        (Some(Bytes(bytes)), _) => {
            let pretty = str::from_utf8(bytes).ok().and_then(json::indent);
            pretty.map_or_else(|| text::block(bytes), |pretty| text::block(pretty.as_bytes()))
        }
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
