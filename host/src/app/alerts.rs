//! Alerts beside the plugins.

use std::sync::Arc;

use base::error::UserError;
use cli::preflight;
use desk::Desk;
use desk::alerts::{Alerts, Channels, Places, Thresholds};
use sandbox::call::Services;
use sandbox::capabilities::mail::mailer::Mailer;
use settings::RunArgs;

/// What tells people; None where nobody is to be told.
///
/// # Errors
/// What is wrong with the settings.
pub(super) fn new(
    args: &RunArgs,
    desk: Option<&Desk>,
    services: &Services,
) -> Result<Option<Alerts>, UserError> {
    let Some((desk, settings)) = desk.zip(preflight::alert_settings(args)) else { return Ok(None) };
    let Some(places) = Places::new(settings, args.mail_url.is_some())? else { return Ok(None) };
    let channels = Channels::new(&places, services.shared.get::<Arc<Mailer>>().cloned())?;
    Ok(Some(Alerts::new(desk.clone(), channels, places.console, Thresholds::new(settings)?)))
}
