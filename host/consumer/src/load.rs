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
        let subscriber =
            Subscriber::load(path, settings, &engines, Outside::Sent(Arc::clone(services))).await?;
        let group = &subscriber.subscription.group;
        if let Some(other) = plugins.iter().find(|other| other.subscription.group == *group) {
            let what = format!(
                "{} and {} both use consumer group {group}",
                other.plugin.label, subscriber.plugin.label
            );
            return Err(
                UserError::usage(what).help("configure a group for each plugin, or remove one of them")
            );
        }
        plugins.push(subscriber);
    }
    Ok(plugins)
}

/// The engines for plugins with these settings.
///
/// # Errors
/// The memory for instances cannot be reserved.
pub fn engines<'a>(all: impl Iterator<Item = Option<&'a PluginSettings>>) -> Result<Engines, UserError> {
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
