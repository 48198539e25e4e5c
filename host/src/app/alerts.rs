//! Alerts on dead letters.

use std::sync::Arc;

use base::error::UserError;
use cli::preflight;
use desk::Desk;
use desk::alerts::{Alerts, Channels, Destinations, Thresholds};
use sandbox::call::Services;
use sandbox::capabilities::mail::mailer::Mailer;
use settings::RunArgs;

/// Alerts as configured; None without a desk or a destination.
///
/// # Errors
/// The settings are invalid.
pub(super) fn new(
    args: &RunArgs,
    desk: Option<&Desk>,
    services: &Services,
) -> Result<Option<Alerts>, UserError> {
    let Some((desk, settings)) = desk.zip(preflight::alert_settings(args)) else { return Ok(None) };
    let Some(destinations) = Destinations::new(settings, args.mail_url.is_some())? else { return Ok(None) };
    let channels =
        Channels::new(&destinations, services.shared.get::<Arc<Mailer>>().cloned(), &preflight::http(args))?;
    Ok(Some(Alerts::new(desk.clone(), channels, destinations.console, Thresholds::new(settings)?)))
}
