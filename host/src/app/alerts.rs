//! Alerts on dead letters.

use std::sync::Arc;

use base::error::UserError;
use cli::preflight;
use desk::Desk;
use desk::alerts::{Alerts, Channels, Destinations, Thresholds};
use sandbox::call::Services;
use sandbox::capabilities::mail::servers::MailServers;
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
    let Some(destinations) = Destinations::new(settings, args.has_default_mail())? else { return Ok(None) };
    let mail = services.shared.get::<Arc<MailServers>>().and_then(|mail| mail.default().cloned());
    let channels = Channels::new(&destinations, mail, &preflight::http(args))?;
    Ok(Some(Alerts::new(desk.clone(), channels, destinations.console, Thresholds::new(settings)?)))
}
