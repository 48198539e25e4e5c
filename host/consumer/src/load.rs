//! Loads the plugins of a run.

use std::sync::Arc;

use base::error::UserError;
use sandbox::call::{Outside, Services};
use sandbox::engine::Engines;
use sandbox::limits::Limits;
use settings::{PluginSettings, RunArgs};

use crate::{Subscriber, worker};

/// Loads all plugins of a run.
///
/// # Errors
/// A plugin cannot be loaded, or two plugins use the same consumer group.
pub async fn load(args: &RunArgs, services: &Arc<Services>) -> Result<Vec<Subscriber>, UserError> {
    let settings =
        (0..args.plugins.len()).map(|index| args.settings_of(index)).collect::<Result<Vec<_>, _>>()?;
    let engines = engines(settings.iter().copied())?;
    let mut plugins: Vec<Subscriber> = Vec::with_capacity(args.plugins.len());
    for (path, settings) in args.plugins.iter().zip(settings) {
        let outside = Outside::Sent(Arc::clone(services));
        let subscriber = Subscriber::load(path, settings, &engines, outside).await?;
        check_group(&plugins, &subscriber)?;
        plugins.push(subscriber);
    }
    Ok(plugins)
}

/// Makes sure that no other plugin has the consumer group of this one.
///
/// # Errors
/// Another has.
pub fn check_group(others: &[Subscriber], subscriber: &Subscriber) -> Result<(), UserError> {
    let group = &subscriber.subscription.group;
    let Some(other) = others.iter().find(|other| other.subscription.group == *group) else { return Ok(()) };
    let (one, other) = (&other.plugin.label, &subscriber.plugin.label);
    Err(UserError::usage(format!("{one} and {other} both use consumer group {group}"))
        .help("configure a group for each plugin, or remove one of them"))
}

/// The engines for plugins with these settings. Their findings are logged.
///
/// # Errors
/// The memory for instances cannot be reserved.
pub fn engines<'a>(all: impl Iterator<Item = Option<&'a PluginSettings>>) -> Result<Engines, UserError> {
    let engines = new_engines(all)?;
    engines.findings.iter().for_each(|finding| tracing::warn!("{finding}"));
    Ok(engines)
}

/// [`engines`], without a log.
///
/// # Errors
/// The memory for instances cannot be reserved.
pub fn new_engines<'a>(all: impl Iterator<Item = Option<&'a PluginSettings>>) -> Result<Engines, UserError> {
    let (mut calls, mut memory) = (0, 0);
    for settings in all {
        calls += worker::shares(settings.and_then(|settings| settings.concurrency)).iter().sum::<usize>();
        let limits = settings.map(|settings| Limits::new(&settings.limits)).transpose();
        memory = limits.map_err(UserError::usage)?.unwrap_or_default().memory.max(memory);
    }
    let calls = u32::try_from(calls).unwrap_or(u32::MAX);
    Engines::new(calls, memory).map_err(|error| {
        UserError::unavailable(format!("cannot set up WebAssembly: {error:#}"))
            .help("permit the process more memory (ulimit -v, the container's limit)")
    })
}
