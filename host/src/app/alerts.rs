//! Alerts beside the plugins.

use std::sync::Arc;

use crate::cli::RunArgs;
use crate::config::AlertSettings;
use crate::desk::Desk;
use crate::desk::alerts::{Alerts, Channels};
use crate::error::Failure;
use crate::plugin::call::Services;

/// Whether they are possible.
///
/// # Errors
/// What is wrong with their settings.
pub(super) fn check(args: &RunArgs) -> Result<(), Failure> {
    let Some(settings) = settings(args) else { return Ok(()) };
    settings.thresholds()?;
    if settings.places(args.mail_url.is_some())?.is_some() && (!args.desk || args.store.is_none()) {
        return Err(Failure::usage("alerts are about dead letters, and the desk is left out")
            .help("leave [alerts] out as well, or keep the desk: [desk] enabled = true"));
    }
    Ok(())
}

/// What tells people; None where nobody is to be told.
///
/// # Errors
/// What is wrong with the settings.
pub(super) fn new(
    args: &RunArgs,
    desk: Option<&Desk>,
    services: &Services,
) -> Result<Option<Alerts>, Failure> {
    let Some((desk, settings)) = desk.zip(settings(args)) else { return Ok(None) };
    let Some(places) = settings.places(args.mail_url.is_some())? else { return Ok(None) };
    let channels = Channels::new(&places, services.mailer.as_ref().map(Arc::clone))?;
    Ok(Some(Alerts::new(desk.clone(), channels, places.console, settings.thresholds()?)))
}

fn settings(args: &RunArgs) -> Option<&AlertSettings> {
    args.found.as_ref().map(|found| &found.file.alerts)
}
