//! `host dlt list`.

use base::error::UserError;
use desk_api::{DeadLetterState, DeadLetterSummary};

use super::client::{Client, ListArgs};
use super::format::{age, fate, fitted, short};
use super::select::Select;
use crate::output::escaped;

/// Arguments of `host dlt list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    select: Select,
    /// Only dead letters in this state
    #[arg(long, value_enum, value_name = "STATE")]
    state: Option<DeadLetterState>,
    #[command(flatten)]
    list: ListArgs,
}

/// Lists dead letters, newest first.
pub async fn run(client: &Client, args: Args) -> Result<(), UserError> {
    let mut filter = args.select.filter()?;
    filter.state = args.state;
    client.print_list(("/dead-letters", &filter.query_pairs()), args.list, "no dead letters", table).await
}

fn table(dead_letters: &[DeadLetterSummary]) -> String {
    let rows = dead_letters.iter().map(|dead_letter| {
        [
            short(&dead_letter.id),
            fate(dead_letter.state, dead_letter.outcome.as_ref()),
            age(dead_letter.failed_ms),
            escaped(&dead_letter.code),
            escaped(&dead_letter.plugin),
            escaped(&dead_letter.detail),
        ]
    });
    fitted(["ID", "STATE", ">AGE", "CODE", "PLUGIN", "DETAIL"], rows.collect())
}
