//! Checks before Kafka is contacted: settings are valid, and plugins load.

use std::sync::Arc;
use std::time::Duration;

use base::error::UserError;
use consumer::{Subscriber, bounds, load};
use desk::alerts::{self, Thresholds};
use desk::retention::Retention;
use effects::Effects;
use kafka::publisher::RecordPublisher;
use sandbox::call::Services;
use sandbox::capabilities::mail::servers::MailServers;
use sandbox::outgoing::Outgoing;
use settings::{AlertSettings, DeskSettings, MailServer, OutgoingHttp, RunArgs};
use store::StoreUrl;
use tokio::runtime::Handle;

/// Checks settings and the URLs of mail server and store, and loads the plugins.
///
/// # Errors
/// A setting is invalid, or a plugin does not load.
pub async fn prepare(args: &RunArgs) -> Result<(Vec<Subscriber>, Arc<Services>), UserError> {
    let services = services(args)?;
    let plugins = load::load(args, &services).await?;
    plugins.iter().try_for_each(|plugin| bounds::check_bounds(&args.kafka, &plugin.plugin))?;
    Ok((plugins, services))
}

/// Checks settings and the URLs of mail server and store, and returns what plugins share. Connects to nothing.
///
/// # Errors
/// A setting is invalid.
pub fn services(args: &RunArgs) -> Result<Arc<Services>, UserError> {
    store(args)?;
    retention(args)?;
    check_alerts(args)?;
    check_http(args)?;
    server::guard::access(args, args.listen)?;
    let mail = mail_servers(args)?;
    let services = Services::new(Effects::new(Handle::current()));
    mail.all().for_each(|mailer| services.destinations.add(Arc::clone(mailer.destination())));
    let records = Arc::new(RecordPublisher::new(&args.kafka));
    Ok(Arc::new(services.with(Some(Arc::new(mail))).with(Some(Arc::new(http(args)))).with(Some(records))))
}

/// The clients of the mail servers.
fn mail_servers(args: &RunArgs) -> Result<MailServers, UserError> {
    let none = MailServer::default();
    let settings = args.found.as_ref().map_or(&none, |found| &found.file.mail);
    MailServers::new(args.mail_url.as_deref(), settings)
}

/// Checks how HTTP servers are reached, as far as it does not depend on plugins.
fn check_http(args: &RunArgs) -> Result<(), UserError> {
    let http = http(args);
    let is_set = http.ca.is_some() || http.proxy.is_some() || http.no_proxy.is_some();
    let has_webhook = alert_settings(args).is_some_and(|alerts| alerts.webhook.is_some());
    if is_set || has_webhook { Outgoing::new(&http).map(drop) } else { Ok(()) }
}

/// How HTTP servers are reached.
pub fn http(args: &RunArgs) -> OutgoingHttp {
    args.found.as_ref().map(|found| found.file.http.clone()).unwrap_or_default()
}

/// The URL of the store, if there is one, and how long effects are kept.
pub fn store(args: &RunArgs) -> Result<Option<(StoreUrl, Duration)>, UserError> {
    let none = settings::Store::default();
    let keep = args.found.as_ref().map_or(&none, |found| &found.file.store).keep()?;
    let url = args.store.as_deref().map(StoreUrl::parse).transpose()?;
    Ok(url.map(|url| (url, keep)))
}

/// The retention of dead letters.
///
/// # Errors
/// The settings are invalid.
pub fn retention(args: &RunArgs) -> Result<Retention, UserError> {
    let none = DeskSettings::default();
    Retention::new(args.found.as_ref().map_or(&none, |found| &found.file.desk))
}

/// Checks the settings of alerts.
///
/// # Errors
/// They are invalid.
fn check_alerts(args: &RunArgs) -> Result<(), UserError> {
    let Some(settings) = alert_settings(args) else { return Ok(()) };
    Thresholds::new(settings)?;
    if alerts::Destinations::new(settings, args.has_default_mail())?.is_some()
        && (!args.desk || args.store.is_none())
    {
        return Err(UserError::usage("[alerts] requires the dead-letter desk, which is disabled")
            .help("enable the desk: [desk] enabled = true, or remove [alerts]"));
    }
    Ok(())
}

/// The settings of alerts, if there is a file.
pub fn alert_settings(args: &RunArgs) -> Option<&AlertSettings> {
    args.found.as_ref().map(|found| &found.file.alerts)
}
