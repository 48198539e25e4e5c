//! Plugins in their sandbox: a component that implements the contract, its limits, and what it may reach.

pub mod call;
pub mod capabilities;
pub mod capture;
pub mod cause;
pub mod engine;
pub mod file;
pub mod grants;
mod imports;
mod instance_pool;
pub mod limits;
pub mod load;
pub mod output;
pub mod wording;

use std::sync::Arc;
use std::time::Duration;

use contract::{Guest, Linked, Message, Outcome, RetryLater};
use effects::Calls;
use settings::plugin::Isolation;
use wasmtime::{Engine, PoolConcurrencyLimitError, Store};

use self::call::{Call, Outside};
use self::capabilities::http::Ended;
use self::cause::Cause;
use self::grants::Grants;
use self::instance_pool::{Instance, InstancePool};
use self::limits::Exceeded;
use self::output::Place;

/// How long a call waits before it asks a full pool again.
const POOL_WAIT: Duration = Duration::from_millis(1);

/// A loaded plugin.
pub struct Plugin {
    /// As it calls itself.
    pub name: Arc<str>,
    /// name@version.
    pub label: String,
    /// SHA-256 of the file, in hexadecimal.
    pub digest: String,
    engine: Engine,
    component: Linked<Call>,
    /// Whether it imports `mail`.
    pub wants_mail: bool,
    /// Whether it imports `wasi:http`.
    pub wants_http: bool,
    /// What it may reach and use up.
    pub grants: Arc<Grants>,
    outside: Outside,
    pool: InstancePool,
}

impl Plugin {
    /// Gives one message of this consumer group to an instance: a fresh one, or one from the pool.
    ///
    /// # Errors
    /// The plugin gave no outcome: it trapped, took too long or too much.
    pub async fn handle(&self, group: &str, message: Message<'_>, place: Place) -> Result<Outcome, Cause> {
        let (mut store, pooled) = match self.pool.take() {
            Some(Instance { mut store, guest, calls }) => {
                Call::turn_to(&mut store, place);
                (store, Some((guest, calls)))
            }
            None => (self.store(place), None),
        };
        if self.has_effects() {
            store.data_mut().effects_of(Calls::of(group, message.id));
        }
        let end = store.data().end();
        let call = async {
            let (guest, calls) = match pooled {
                Some(pooled) => pooled,
                None => (self.instantiate(&mut store).await?, 0),
            };
            let outcomes = guest.handle(&mut store, message).await?;
            Ok((guest, calls + 1, outcomes))
        };
        // Bounds host calls, which epochs do not stop. The store of a call that is cut off, or trapped,
        // ends with it.
        let cut_off = async {
            match end {
                Some(end) => end.wait().await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            biased;
            why = cut_off => Err(why),
            ended = tokio::time::timeout(self.grants.limits.call_time, call) => Ok(ended),
        };
        store.data().output.end(store.data().memory());
        match ended {
            Err(Ended::Limit(limit)) => Err(Cause::exceeded(limit, store.data())),
            Err(Ended::Effect(interrupted)) => {
                Err(Cause::from_error(&wasmtime::Error::new(interrupted), store.data()))
            }
            Ok(Err(_)) => Err(Cause::exceeded(Exceeded::CallTime, store.data())),
            Ok(Ok(Err(error))) => Err(Cause::from_error(&error, store.data())),
            Ok(Ok(Ok((guest, calls, outcomes)))) => {
                let outcome = self.checked(outcomes, store.data())?;
                self.pool.give_back(Instance { store, guest, calls }, &self.grants);
                Ok(outcome)
            }
        }
    }

    /// Whether messages share an instance.
    pub fn isolation(&self) -> Isolation {
        self.pool.isolation()
    }

    /// Whether it can do something to the outside world, or would in earnest.
    pub fn has_effects(&self) -> bool {
        let mails = match &self.outside {
            Outside::Sent(services) => services.mailer.is_some(),
            Outside::Captured(_) => true,
        };
        let mails = mails && self.wants_mail && self.grants.mail.is_some();
        mails || (self.wants_http && self.grants.http.is_some())
    }

    fn store(&self, place: Place) -> Store<Call> {
        Call::store(&self.engine, place, Arc::clone(&self.grants), Some(self.outside.clone()))
    }

    fn checked(&self, outcomes: Vec<Outcome>, call: &Call) -> Result<Outcome, Cause> {
        if let Some(limit) = call.exceeded() {
            return Err(Cause::exceeded(limit, call));
        }
        match <[Outcome; 1]>::try_from(outcomes) {
            Ok([outcome]) if len(&outcome) <= self.grants.limits.outcome => Ok(outcome),
            Ok(_) => Err(Cause::exceeded(Exceeded::Outcome, call)),
            Err(outcomes) => Err(Cause::outcomes(outcomes.len())),
        }
    }

    /// A full pool is backpressure, not an error.
    async fn instantiate(&self, store: &mut Store<Call>) -> wasmtime::Result<Guest> {
        loop {
            match self.component.instantiate(store).await {
                Err(error) if error.is::<PoolConcurrencyLimitError>() => tokio::time::sleep(POOL_WAIT).await,
                result => return result,
            }
        }
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
