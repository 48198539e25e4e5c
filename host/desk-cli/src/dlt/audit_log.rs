//! `host dlt audit-log`.

use base::error::UserError;
use base::text;
use desk_api::AuditEntry;

use super::client::{Client, ListArgs, check_id};
use super::format::{fitted, short};
use crate::output::escaped;

/// Arguments of `host dlt audit-log`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of a dead letter, or a unique prefix of it: only actions on this one
    #[arg(value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    list: ListArgs,
}

/// Lists who did what, newest first.
pub async fn run(client: &Client, args: Args) -> Result<(), UserError> {
    let path = match &args.id {
        Some(id) => format!("/dead-letters/{}/audit-log", check_id(id, "host dlt list")?),
        None => "/audit-log".to_owned(),
    };
    client.print_list((&path, &[]), args.list, "no entries", table).await
}

fn table(entries: &[AuditEntry]) -> String {
    let rows = entries.iter().map(|entry| {
        [
            text::local(entry.at_ms),
            escaped(&entry.actor),
            escaped(&entry.action),
            subject(entry),
            entry.dead_letters.to_string(),
            escaped(&entry.reason),
        ]
    });
    fitted(["TIME", "USER", "ACTION", "ON", ">DEAD LETTERS", "REASON"], rows.collect())
}

/// The single thing that the action concerned; nothing if a filter selected dead letters.
fn subject(entry: &AuditEntry) -> String {
    let one = |kind: &str, id: &Option<String>| id.as_ref().map(|id| format!("{kind} {}", short(id)));
    one("replay", &entry.replay)
        .or_else(|| one("dead letter", &entry.dead_letter))
        .or_else(|| one("failure", &entry.failure))
        .or_else(|| entry.plugin.as_ref().map(|plugin| format!("plugin {}", escaped(plugin))))
        .unwrap_or_default()
}
