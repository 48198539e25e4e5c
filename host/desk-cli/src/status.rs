//! `host status`: the health of a running host and of everything that it depends on.

use base::error::UserError;
use desk_api::{Health, HealthPart, HealthState};

use crate::dlt::client::{ApiArgs, Client};
use crate::dlt::format::{age, fitted};
use crate::output::{OutputArgs, cell, escaped};

/// Arguments of `host status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Prints the health. The answer is "no" (exit code 1) if something does not work.
///
/// # Errors
/// The host does not answer, or something does not work.
pub async fn run(args: Args) -> Result<(), UserError> {
    let health: Health = Client::new(&args.api)?.get("/health", &[]).await?;
    args.output.print(&health, || table(&health))?;
    if health.state == HealthState::Down {
        let down: Vec<_> = health.parts.iter().filter(|part| part.state == HealthState::Down).collect();
        let names: Vec<_> = down.iter().map(|part| escaped(&part.name)).collect();
        return Err(UserError::unavailable(format!("does not work: {}", names.join(", "))).as_answer());
    }
    Ok(())
}

fn table(health: &Health) -> String {
    let rows = health.parts.iter().map(|HealthPart { kind, name, state, since_ms, reason, count }| {
        [
            kind.as_str().to_owned(),
            escaped(name),
            state.as_str().to_owned(),
            cell(since_ms.map(age)),
            cell(*count),
            cell(reason.as_deref().map(escaped)),
        ]
    });
    fitted(["PART", "NAME", "STATE", ">FOR", ">COUNT", "REASON"], rows.collect())
}
