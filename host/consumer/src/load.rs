//! From the settings of a run to the plugins that it runs.

use std::sync::Arc;

use base::error::UserError;
use sandbox::call::{Outside, Services};
use sandbox::engine::Engines;
use sandbox::limits::Limits;
use settings::{PluginSettings, RunArgs};

use crate::{Subscriber, worker};

/// Loads every plugin of a run.
///
/// # Errors
/// What is wrong with one of them, or two of them use one group.
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
            let what =
                format!("{} and {} both use group {group}", other.plugin.label, subscriber.plugin.label);
            return Err(UserError::usage(what).help("give each plugin a group of its own, or leave one out"));
        }
        plugins.push(subscriber);
    }
    Ok(plugins)
}

/// Engines for plugins with these settings.
///
/// # Errors
/// The machine has no room for them.
pub fn engines<'a>(all: impl Iterator<Item = Option<&'a PluginSettings>>) -> Result<Engines, UserError> {
    let (mut calls, mut memory) = (0, 0);
    for settings in all {
        calls += worker::shares(settings.and_then(|settings| settings.concurrency)).iter().sum::<usize>();
        let limits = settings.map(|settings| Limits::new(&settings.limits)).transpose();
        memory = limits.map_err(UserError::usage)?.unwrap_or_default().memory.max(memory);
    }
    let calls = u32::try_from(calls).unwrap_or(u32::MAX);
    Engines::new(calls, memory)
        .map_err(|error| UserError::unavailable(format!("cannot set up WebAssembly: {error:#}")))
}
