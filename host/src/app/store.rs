//! Opens the store for the ledger of effects and the desk.

use base::error::UserError;
use cli::preflight;
use consumer::Subscriber;
use desk::Desk;
use effects::Deduplicator;
use effects::ledger::Ledger;
use sandbox::call::Services;
use settings::RunArgs;
use settings::plugin::Unsettled;
use store::Store;

/// Opens the store if a plugin has effects or the desk is enabled. Returns the desk if it is enabled.
///
/// # Errors
/// The store is configured incorrectly or cannot be opened.
pub(super) async fn open(
    args: &RunArgs,
    plugins: &[Subscriber],
    services: &Services,
) -> Result<Option<Desk>, UserError> {
    let Some((url, keep)) = preflight::store(args)? else { return Ok(None) };
    let has_effects = plugins.iter().any(|subscriber| subscriber.plugin.has_effects());
    if !has_effects && !args.desk {
        return Ok(None);
    }
    let store = Store::open(url).await?;
    let desk = if args.desk { Some(Desk::open(&store).await?) } else { None };
    if has_effects {
        let no_repeat =
            plugins.iter().filter(|subscriber| subscriber.plugin.grants.unsettled == Unsettled::DeadLetter);
        let no_repeat = no_repeat.map(|subscriber| subscriber.subscription.group.clone()).collect();
        services.effects.deduplicate(Deduplicator::new(Ledger::new(store, keep), no_repeat));
    }
    Ok(desk)
}
