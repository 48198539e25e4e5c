//! `host doctor`.

use std::sync::Arc;

use base::error::UserError;
use settings::RunArgs;

use crate::preflight;
use desk_cli::output::{self, OutputArgs};

/// Arguments of `host doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// Checks everything and prints the report.
///
/// # Errors
/// A setting is invalid (exit code 2), or a check has an error (1).
pub async fn run(args: Args) -> Result<(), UserError> {
    let services = preflight::services(&args.run)?;
    let store = preflight::store(&args.run)?.map(|(url, _)| url);
    let report = doctor::check(&Arc::new(args.run), &services, store).await;
    args.output.print(&report, || report.text(output::is_coloured()))?;
    report.verdict()
}
