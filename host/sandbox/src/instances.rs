//! The instance of a call: one that is reused, or a new one. Getting one costs no message its attempt.

use std::sync::Arc;
use std::time::Duration;

use contract::Guest;
use effects::Calls;
use rustix::io::Errno;
use wasmtime::{PoolConcurrencyLimitError, Store};

use crate::call::Call;
use crate::call_end::CallEnd;
use crate::cause::Cause;
use crate::instance_pool::{Instance, Reuse};
use crate::limits::Exceeded;
use crate::output::Place;
use crate::shortage::Shortage;
use crate::{Plugin, closed, expired};

/// The pause before another attempt to get an instance.
pub(crate) const POOL_WAIT: Duration = Duration::from_millis(1);

/// The consumer group and the id of a message that may have effects.
type WithEffects<'a> = Option<(&'a str, &'a str)>;

impl Plugin {
    /// An instance of an earlier call, if there is one.
    pub(super) fn reused(&self, place: &Place, effects: WithEffects<'_>) -> Option<Instance> {
        let mut instance = self.pool.take()?;
        Call::reset(&mut instance.store, place.clone(), self.pool.reuse() == Reuse::Reset);
        self.permit(&mut instance.store, effects);
        Some(instance)
    }

    /// A new instance. It waits while there is no room for one, or no memory: this is backpressure, and neither its time nor
    /// what was begun is the message's. Nothing of an attempt remains: with a part of its instance it would hold the room
    /// that others wait for.
    pub(super) async fn new_instance<C: Future<Output = ()>>(
        &self,
        place: Place,
        effects: WithEffects<'_>,
        closing: impl Fn() -> C,
    ) -> Result<Instance, Cause> {
        loop {
            let (grants, outside) = (Arc::clone(&self.grants), Some(self.outside.clone()));
            let mut store = Call::store(&self.engine, &self.memory, place.clone(), grants, outside);
            self.permit(&mut store, effects);
            let clock = store.data().context.clock().cloned();
            let result = tokio::select! {
                biased;
                guest = self.instantiate(&mut store) => Ok(guest),
                () = expired(clock.as_deref(), self.grants.limits.call_time) => {
                    Err(CallEnd::Exceeded(Exceeded::CallTime))
                }
                () = closed(closing(), clock.as_deref()) => Err(CallEnd::Closing),
            };
            match result {
                Ok(Ok(guest)) => {
                    store.data_mut().note_first_state();
                    return Ok(Instance { store, guest, calls: 0 });
                }
                Ok(Err(error)) if has_no_room(&error, store.data()) => drop(store),
                Ok(Err(error)) => {
                    store.data().context.output.end(store.data().memory());
                    return Err(Cause::from_error(&error, store.data()));
                }
                Err(end) => {
                    store.data().context.output.end(store.data().memory());
                    return Err(Cause::of_end(&end, store.data()));
                }
            }
            tokio::select! {
                () = tokio::time::sleep(POOL_WAIT) => {}
                () = closing() => return Err(Cause::closing()),
            }
        }
    }

    async fn instantiate(&self, store: &mut Store<Call>) -> wasmtime::Result<Guest> {
        match self.pool.reuse() {
            Reuse::Reset => self.component.instantiate_resetting(store).await,
            Reuse::Never | Reuse::Kept => self.component.instantiate(store).await,
        }
    }

    fn permit(&self, store: &mut Store<Call>, effects: WithEffects<'_>) {
        if let Some((group, id)) = effects {
            store.data_mut().permit_effects(Calls::of(group, id), self.signals_end);
        }
    }
}

/// Whether an attempt failed only because others have the room, or the memory.
pub(crate) fn has_no_room(error: &wasmtime::Error, call: &Call) -> bool {
    error.is::<PoolConcurrencyLimitError>()
        || error.downcast_ref() == Some(&Errno::NOMEM)
        || call.shortage() == Some(Shortage::GuestMemory)
}
