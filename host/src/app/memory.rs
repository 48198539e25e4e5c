//! What outlives the process: what messages have sent, and dead letters.

use std::time::Duration;

use crate::cli::RunArgs;
use crate::config;
use crate::config::plugin::Unsettled;
use crate::desk::Desk;
use crate::effect::Memory;
use crate::error::Failure;
use crate::ledger::Ledger;
use crate::plugin::Plugin;
use crate::plugin::call::Services;
use crate::store::{Store, StoreUrl};

/// Opens the store where a plugin may send something, or for the desk.
pub(super) async fn open(
    args: &RunArgs,
    plugins: &[Plugin],
    services: &Services,
) -> Result<Option<Desk>, Failure> {
    let Some((url, keep)) = store(args)? else { return Ok(None) };
    let sends = plugins.iter().any(Plugin::has_effects);
    if !sends && !args.desk {
        return Ok(None);
    }
    let store = Store::open(url).await?;
    let desk = if args.desk { Some(Desk::open(&store).await?) } else { None };
    if sends {
        let never_again = plugins.iter().filter(|plugin| plugin.grants.unsettled == Unsettled::DeadLetter);
        let never_again = never_again.map(|plugin| plugin.subscription.group.clone()).collect();
        services.effects.remember(Memory::new(Ledger::new(store, keep), never_again));
    }
    Ok(desk)
}

/// The store that was given, and how long it keeps what was sent.
pub(super) fn store(args: &RunArgs) -> Result<Option<(StoreUrl, Duration)>, Failure> {
    let none = config::Store::default();
    let keep = args.found.as_ref().map_or(&none, |found| &found.file.store).keep()?;
    let url = args.store.as_deref().map(StoreUrl::parse).transpose()?;
    Ok(url.map(|url| (url, keep)))
}
