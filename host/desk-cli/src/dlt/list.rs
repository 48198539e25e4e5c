//! `host dlt list`.

use base::error::UserError;
use desk_api::{DeadLetterState, DeadLetterSummary};

use super::client::Client;
use super::format::{age, fate, fitted, short};
use super::select::Select;
use crate::output::{self, Format, escaped, note};

/// Arguments of `host dlt list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    select: Select,
    /// Only dead letters in this state
    #[arg(long, value_enum, value_name = "STATE")]
    state: Option<DeadLetterState>,
    /// Maximum number of dead letters
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Output format
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Lists dead letters, newest first.
pub async fn run(client: &Client, args: Args) -> Result<(), UserError> {
    let Args { select, state, limit, output } = args;
    let mut filter = select.filter()?;
    filter.state = state;
    let path = "/dead-letters";
    let (dead_letters, more): (Vec<DeadLetterSummary>, _) =
        client.list(path, &filter.query_pairs(), limit).await?;
    if output == Format::Json {
        return output::print_json(&dead_letters);
    }
    if dead_letters.is_empty() {
        note("no dead letters");
        return Ok(());
    }
    output::print(table(&dead_letters))?;
    if more {
        note("there are more; list them with --limit N");
    }
    Ok(())
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
