//! `host dlt show`.

use base::bytes::Bytes;
use base::error::UserError;
use base::text;
use desk::actions::Action;
use desk::letter::Place;
use desk::{Letter, Page};
use kafka::header_value::header_value;
use serde::Serialize;

use super::client::Client;
use super::list::{escaped, short};
use super::select::age;
use crate::output::{self, Format};

/// Arguments of `host dlt show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The letter's id, or what it alone begins with
    #[arg(value_name = "ID")]
    id: String,
    /// How to print it
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    letter: Letter,
    actions: Vec<Action>,
}

/// Prints a letter.
pub async fn run(client: &Client, args: &Args) -> Result<(), UserError> {
    let letter = fetch(client, &args.id).await?;
    let actions: Page<Action> =
        client.get(&format!("/letters/{}/actions", letter.id), &[("limit", "100".to_owned())]).await?;
    let shown = Shown { letter, actions: actions.items };
    match args.output {
        Format::Json => output::print_json(&shown),
        Format::Table => output::print(page(&shown)),
    }
}

/// The letter with this id.
pub async fn fetch(client: &Client, id: &str) -> Result<Letter, UserError> {
    if !desk::filter::is_id(id) {
        return Err(UserError::usage(format!("{} is no id: 1 to 32 hexadecimal digits", escaped(id)))
            .help("see ids: host dlt list"));
    }
    client.get(&format!("/letters/{id}"), &[]).await
}

fn page(shown: &Shown) -> String {
    let letter = &shown.letter;
    let mut lines = summary(letter);
    lines.push(String::new());
    lines.push("timeline".to_owned());
    lines.extend(timeline(shown).into_iter().map(|(at, what)| format!("  {}  {what}", text::utc(at))));
    if !letter.backtrace.is_empty() {
        lines.push("\nbacktrace".to_owned());
        lines.push(indented(&text::block(letter.backtrace.as_bytes())));
    }
    lines.push("\nheaders".to_owned());
    for (name, value) in &letter.headers {
        let value = header_value(&name.0, value.as_ref().map(|value| &value.0[..]));
        lines.push(format!("  {}: {value}", text::line(&name.0)));
    }
    lines.push(format!(
        "\nkey    {}",
        letter.key.as_ref().map_or("null".to_owned(), |key| text::line(&key.0))
    ));
    lines.push("\nvalue".to_owned());
    lines.push(indented(&value(letter)));
    lines.join("\n")
}

fn summary(letter: &Letter) -> Vec<String> {
    let mut lines = vec![
        format!("id       {}", escaped(&letter.id)),
        format!(
            "state    {} since {} ({} ago)",
            letter.state.as_str(),
            text::utc(letter.state_since_ms),
            age(letter.state_since_ms)
        ),
        format!("code     {}", escaped(&letter.code)),
    ];
    if !letter.detail.is_empty() {
        lines.push(format!("detail   {}", escaped(&letter.detail)));
    }
    if !letter.exception.is_empty() {
        lines.push(format!("kind     {}", escaped(&letter.exception)));
    }
    let digest = if letter.digest.is_empty() {
        String::new()
    } else {
        format!("  digest {}", escaped(&letter.digest))
    };
    lines.push(format!("plugin   {}{digest}", escaped(&letter.plugin)));
    lines.push(format!(
        "group    {}  (host dlt list --group {})",
        escaped(&letter.failure_group),
        short(&letter.failure_group)
    ));
    lines.push(format!("consumer {}", escaped(&letter.consumer_group)));
    lines.push(format!("message  {}", escaped(&letter.message)));
    lines.push(format!("source   {}", place(&letter.source)));
    if let Some(at) = &letter.place {
        lines.push(format!("lies in  {}", place(at)));
    }
    lines.push(format!("attempts {}, replayed {} times before", letter.attempts, letter.replays));
    if let Some(original) = &letter.edited_from {
        lines.push(format!("edited   from {}", escaped(original)));
    }
    lines
}

fn place(place: &Place) -> String {
    format!("{} partition {} offset {}", escaped(&place.topic), place.partition, place.offset)
}

fn timeline(shown: &Shown) -> Vec<(i64, String)> {
    let letter = &shown.letter;
    let mut moments = Vec::new();
    moments.extend(letter.source_timestamp_ms.map(|at| (at, "written".to_owned())));
    moments.extend(letter.first_failed_ms.map(|at| (at, "failed first".to_owned())));
    moments.push((letter.failed_ms, format!("dead, after {} attempts", letter.attempts)));
    moments.push((letter.taken_ms, "taken in".to_owned()));
    moments.extend(shown.actions.iter().map(|action| {
        let reason =
            if action.reason.is_empty() { String::new() } else { format!(": {}", escaped(&action.reason)) };
        (action.at_ms, format!("{} by {}{reason}", escaped(&action.what), escaped(&action.who)))
    }));
    moments.sort_by_key(|(at, _)| *at);
    moments
}

fn value(letter: &Letter) -> String {
    match (&letter.value, letter.value_cut) {
        (None, Some(length)) => format!("(its {length} bytes were more than the dead-letter topic takes)"),
        (None, None) => "null".to_owned(),
        (Some(Bytes(bytes)), _) => {
            // Numbers and the order of keys stay as they are only in the text itself.
            let pretty = serde_json::from_slice::<serde_json::Value>(bytes).ok();
            let pretty = pretty.filter(|value| value.is_object() || value.is_array());
            let pretty = pretty.and_then(|value| serde_json::to_string_pretty(&value).ok());
            pretty.map_or_else(|| text::block(bytes), |pretty| text::block(pretty.as_bytes()))
        }
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
