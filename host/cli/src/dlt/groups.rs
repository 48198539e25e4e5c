//! `host dlt groups`, and what people say of a group.

use base::error::UserError;
use desk::Page;
use desk::filter::is_id;
use desk::groups::{Group, GroupState};
use serde_json::{Value, json};

use super::client::Client;
use super::list::{escaped, fitted, short};
use super::select::age;
use crate::output::{self, Format, note};

/// Arguments of `host dlt groups`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    mark: Option<Mark>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum Mark {
    /// Say that a group's cause is mended; one that fails again is open again
    Close(Which),
    /// Say that it is not
    Reopen(Which),
    /// Write down what people should know about a group
    Note {
        #[command(flatten)]
        which: Which,
        /// The note, in place of the one before; "" takes it away
        #[arg(value_name = "TEXT")]
        text: String,
    },
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The group's id, or what it alone begins with (host dlt groups)
    #[arg(value_name = "ID")]
    id: String,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Show groups without open letters too
    #[arg(long)]
    all: bool,
    /// The most groups
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// How to print the list
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Prints what fails, or marks a group.
pub async fn run(client: &Client, args: Args) -> Result<(), UserError> {
    match args.mark {
        None => list(client, &args.list).await,
        Some(Mark::Close(which)) => mark(client, &which, json!({ "state": "closed" })).await,
        Some(Mark::Reopen(which)) => mark(client, &which, json!({ "state": "open" })).await,
        Some(Mark::Note { which, text }) => mark(client, &which, json!({ "note": text })).await,
    }
}

async fn mark(client: &Client, which: &Which, mut change: Value) -> Result<(), UserError> {
    let id = &which.id;
    if !is_id(id) {
        return Err(UserError::usage(format!("{}: not an id of a group", escaped(id)))
            .help("see which there are: host dlt groups"));
    }
    change["reason"] = json!(which.reason);
    let group: Group = client.patch(&format!("/groups/{id}"), &change).await?;
    let note_text = if group.note.is_empty() { String::new() } else { format!(": {}", escaped(&group.note)) };
    note(format!("{} {} is {}{note_text}", short(&group.id), escaped(&group.code), group.state.as_str()));
    if group.state == GroupState::Closed && group.open > 0 {
        note(format!("{} of its letters are open still: replay or discard them", group.open));
    }
    Ok(())
}

async fn list(client: &Client, args: &List) -> Result<(), UserError> {
    let query = [("open", (!args.all).to_string()), ("limit", args.limit.to_string())];
    let groups: Page<Group> = client.get("/groups", &query).await?;
    if args.output == Format::Json {
        return output::print_json(&groups.items);
    }
    if groups.items.is_empty() {
        note("nothing fails");
        return Ok(());
    }
    let rows = groups.items.iter().map(|group| {
        let recent = if group.recent > 0 { format!("+{}", group.recent) } else { "-".to_owned() };
        let closed = if group.state == GroupState::Closed { "(closed) " } else { "" };
        let said = if group.note.is_empty() { &group.detail } else { &group.note };
        [
            short(&group.id),
            group.open.to_string(),
            recent,
            age(group.first_seen_ms),
            age(group.last_seen_ms),
            escaped(&group.code),
            escaped(&group.plugin),
            format!("{closed}{}", escaped(said)),
        ]
    });
    let headings = ["ID", ">OPEN", ">LAST HOUR", ">SINCE", ">LAST", "CODE", "PLUGIN", "NOTE OR DETAIL"];
    output::print(fitted(headings, rows.collect()))
}
