//! What outlives the process: what messages have sent, and dead letters.

use base::error::UserError;
use cli::preflight;
use consumer::Subscriber;
use desk::Desk;
use effects::Memory;
use effects::ledger::Ledger;
use sandbox::call::Services;
use settings::RunArgs;
use settings::plugin::Unsettled;
use store::Store;

/// Opens the store where a plugin may send something, or for the desk.
pub(super) async fn open(
    args: &RunArgs,
    plugins: &[Subscriber],
    services: &Services,
) -> Result<Option<Desk>, UserError> {
    let Some((url, keep)) = preflight::store(args)? else { return Ok(None) };
    let sends = plugins.iter().any(|subscriber| subscriber.plugin.has_effects());
    if !sends && !args.desk {
        return Ok(None);
    }
    let store = Store::open(url).await?;
    let desk = if args.desk { Some(Desk::open(&store).await?) } else { None };
    if sends {
        let never_again =
            plugins.iter().filter(|subscriber| subscriber.plugin.grants.unsettled == Unsettled::DeadLetter);
        let never_again = never_again.map(|subscriber| subscriber.subscription.group.clone()).collect();
        services.effects.remember(Memory::new(Ledger::new(store, keep), never_again));
    }
    Ok(desk)
}
