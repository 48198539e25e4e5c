//! Plugins in their sandbox: components that implement the contract, their limits, and their capabilities.

mod batch;
pub mod call;
pub mod call_clock;
pub mod call_end;
pub mod capabilities;
pub mod capture;
pub mod cause;
mod exception;
pub mod file;
pub mod grants;
pub mod imports;
mod instance_pool;
mod instances;
pub mod limits;
pub mod load;
pub mod needs;
pub mod outgoing;
pub mod output;
mod shortage;
pub mod wording;

use std::sync::Arc;
use std::time::Duration;

pub use connections::tls;
use contract::{Linked, Message, Outcome, RetryLater};
use effects::Key;
pub use engine;
use engine::epochs::Epochs;
use engine::guest_memory::GuestMemory;
use reset::Reason;
use settings::plugin::Isolation;
use wasmtime::Engine;

use self::call::{Call, Outside};
use self::call_clock::CallClock;
use self::call_end::{CallEnd, EndSignal};
use self::capabilities::Capability;
use self::cause::{Cause, LeadsTo};
use self::grants::Grants;
use self::instance_pool::{Instance, InstancePool};
use self::limits::Exceeded;
use self::output::Place;

/// A loaded plugin.
pub struct Plugin {
    /// Its own name.
    pub name: Arc<str>,
    /// name@version.
    pub label: String,
    /// SHA-256 of the file, in hexadecimal.
    pub digest: String,
    /// The contract that it implements, with its version.
    pub contract: String,
    /// The capabilities that it imports.
    pub wants: Vec<&'static dyn Capability>,
    /// Its permissions and limits.
    pub grants: Arc<Grants>,
    engine: Engine,
    memory: Arc<GuestMemory>,
    epochs: Arc<Epochs>,
    component: Linked<Call>,
    outside: Outside,
    has_effects: bool,
    max_batch: usize,
    signals_end: bool,
    isolation: Isolation,
    not_reset: Option<Reason>,
    pool: InstancePool,
}

impl Plugin {
    /// Passes one message of this consumer group to an instance: a fresh one, or one from the pool. When what `closing`
    /// makes completes, a call that only waits is ended ([`LeadsTo::Nothing`]); another one may finish.
    ///
    /// # Errors
    /// There is no outcome: the plugin trapped or exceeded a limit, or the host ended the call.
    pub async fn handle<C: Future<Output = ()>>(
        &self,
        group: &str,
        message: Message<'_>,
        place: Place,
        closing: impl Fn() -> C,
    ) -> Result<Outcome, Cause> {
        let _running = self.epochs.run();
        let effects = self.has_effects.then_some((group, message.id));
        let Instance { mut store, guest, calls } = match self.reused(&place, effects) {
            Some(instance) => instance,
            // Boxed, like other steps of few calls: they would make the future of every call larger.
            None => Box::pin(self.new_instance(place, effects, &closing)).await?,
        };
        let (clock, end) = (store.data().context.clock().cloned(), store.data().context.end().cloned());
        // The time bounds host functions, which epochs do not stop. The store of a call that is ended here, or
        // traps, is dropped.
        // Only a call that is not finished at once polls what follows it.
        let result = tokio::select! {
            biased;
            end = signalled(end) => Err(end),
            outcomes = guest.handle(&mut store, message) => Ok(outcomes),
            () = expired(clock.as_deref(), self.grants.limits.call_time) => {
                Err(CallEnd::Exceeded(Exceeded::CallTime))
            }
            () = closed(closing(), clock.as_deref()) => Err(CallEnd::Closing),
        };
        store.data().context.output.end(store.data().memory());
        let outcomes = match result {
            Err(CallEnd::Exceeded(limit)) => return Err(Cause::exceeded(limit, store.data())),
            Err(end) => return Err(Cause::from_error(&end.into(), store.data())),
            Ok(Err(error)) => return Err(Cause::from_error(&error, store.data())),
            Ok(Ok(outcomes)) => outcomes,
        };
        let outcome = self.checked(outcomes, store.data())?;
        if let Some(shortage) = store.data().shortage()
            && matches!(outcome, Outcome::Retry(_) | Outcome::Reject(_))
        {
            return Err(Cause::shortage(shortage));
        }
        let is_outage = matches!(outcome, Outcome::Retry(_)) && store.data().context.is_outage();
        let performed = store.data().context.take_performed();
        self.pool.give_back(Instance { store, guest, calls: calls + 1 }, &self.grants);
        if !performed.is_empty() {
            Box::pin(self.settle(&outcome, performed)).await;
        }
        match outcome {
            Outcome::Retry(later) if is_outage => {
                Err(Cause { leads_to: LeadsTo::Again, ..Cause::retry(later) })
            }
            outcome => Ok(outcome),
        }
    }

    /// Whether messages share an instance.
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// The reason why each message has a new instance although the isolation is `message`: instances cannot be reset.
    pub fn not_reset(&self) -> Option<&Reason> {
        self.not_reset.as_ref().filter(|_| self.isolation == Isolation::Message)
    }

    /// The number of instances that wait for a message.
    pub fn idle_instances(&self) -> usize {
        self.pool.idle()
    }

    /// Whether its calls can have effects outside the process; in a dry run, whether they could.
    pub fn has_effects(&self) -> bool {
        self.has_effects
    }

    /// Its permissions for the start-up summary.
    pub fn permissions(&self) -> String {
        let summaries = self.wants.iter().map(|capability| match self.grants.of(*capability) {
            Some(grant) => grant.summary(),
            None => capability.not_granted().to_owned(),
        });
        let summaries: Vec<_> = summaries.collect();
        if summaries.is_empty() { "no capabilities".to_owned() } else { summaries.join(", ") }
    }

    fn checked(&self, outcomes: Vec<Outcome>, call: &Call) -> Result<Outcome, Cause> {
        if let Some(limit) = call.exceeded() {
            return Err(Cause::exceeded(limit, call));
        }
        match <[Outcome; 1]>::try_from(outcomes) {
            Ok([outcome]) if self.fits(&outcome) => Ok(outcome),
            Ok(_) => Err(Cause::exceeded(Exceeded::Outcome, call)),
            Err(outcomes) => Err(Cause::outcomes(outcomes.len())),
        }
    }

    fn fits(&self, outcome: &Outcome) -> bool {
        len(outcome) <= self.grants.limits.outcome
    }

    /// A plugin that does not accept the answers to its requests makes them again at the next delivery.
    async fn settle(&self, outcome: &Outcome, performed: Vec<Key>) {
        let failed = matches!(outcome, Outcome::Retry(_) | Outcome::Reject(_));
        if let Some(services) = self.outside.services().filter(|_| failed) {
            services.effects.undo(performed).await;
        }
    }
}

/// The end that a capability signals, if it can.
async fn signalled(end: Option<Arc<EndSignal>>) -> CallEnd {
    match end {
        Some(end) => end.wait().await,
        None => std::future::pending().await,
    }
}

/// The end of the call's time. Only a call that can have effects has a clock that stops.
async fn expired(clock: Option<&CallClock>, call_time: Duration) {
    match clock {
        Some(clock) => clock.expired().await,
        None => tokio::time::sleep(call_time).await,
    }
}

/// The end of a partition for a call that only waits.
async fn closed(closing: impl Future<Output = ()>, clock: Option<&CallClock>) {
    closing.await;
    match clock {
        Some(clock) => clock.only_waits().await,
        None => std::future::pending().await,
    }
}

fn len(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Done(text) | Outcome::Skipped(text) => text.len(),
        Outcome::Retry(RetryLater { failure, .. }) | Outcome::Reject(failure) => {
            failure.code.len() + failure.detail.len()
        }
    }
}
