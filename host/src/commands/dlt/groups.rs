//! `host dlt groups`.

use super::client::Client;
use super::list::{escaped, fitted, short};
use super::select::age;
use crate::commands::output::{self, Format, note};
use crate::desk::Page;
use crate::desk::groups::{Group, GroupState};
use crate::error::Failure;

/// Arguments of `host dlt groups`.
#[derive(Debug, clap::Args)]
pub struct Args {
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

/// Prints what fails.
pub async fn run(client: &Client, args: &Args) -> Result<(), Failure> {
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
