//! A plugin: a component that implements the contract, ready to be called.

pub mod bindings;
pub mod call;
pub mod capture;
pub mod cause;
pub mod dry_run;
pub mod engine;
pub mod file;
pub mod grants;
pub mod http;
mod imports;
mod kept;
pub mod limits;
pub mod load;
pub mod mail;
pub mod output;
pub mod subscription;
pub mod told;

use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Engine, PoolConcurrencyLimitError, Store};

use self::bindings::consumer::plugin::types::{Message, Outcome, RetryLater};
use self::bindings::{Plugin as World, PluginPre};
use self::call::{Call, Outside};
use self::cause::Cause;
use self::grants::Grants;
use self::http::Ended;
use self::kept::{Instance, Kept};
use self::limits::Exceeded;
use self::output::Place;
use self::subscription::Subscription;
use crate::config::plugin::Isolation;
use crate::effect::Calls;

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
    /// What it reads, and what becomes of failures.
    pub subscription: Subscription,
    engine: Engine,
    component: PluginPre<Call>,
    /// Whether it imports `mail`.
    pub wants_mail: bool,
    /// Whether it imports `wasi:http`.
    pub wants_http: bool,
    /// What it may reach and use up.
    pub grants: Arc<Grants>,
    outside: Outside,
    kept: Kept,
}

impl Plugin {
    /// Gives one message to an instance: a fresh one, or one that is kept.
    ///
    /// # Errors
    /// The plugin gave no outcome: it trapped, took too long or too much.
    pub async fn handle(&self, message: Message<'_>, place: Place) -> Result<Outcome, Cause> {
        let (mut store, kept) = match self.kept.take() {
            Some(Instance { mut store, world, calls }) => {
                Call::turn_to(&mut store, place);
                (store, Some((world, calls)))
            }
            None => (self.store(place), None),
        };
        if self.has_effects() {
            store.data_mut().effects_of(Calls::of(&self.subscription.group, message.id));
        }
        let end = store.data().end();
        let call = async {
            let (world, calls) = match kept {
                Some(kept) => kept,
                None => (self.instantiate(&mut store).await?, 0),
            };
            let outcomes = world.consumer_plugin_handler().call_handle(&mut store, &[message]).await?;
            Ok((world, calls + 1, outcomes))
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
            Ok(Ok(Ok((world, calls, outcomes)))) => {
                let outcome = self.checked(outcomes, store.data())?;
                self.kept.give_back(Instance { store, world, calls }, &self.grants);
                Ok(outcome)
            }
        }
    }

    /// Whether messages share an instance.
    pub fn isolation(&self) -> Isolation {
        self.kept.isolation()
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
    async fn instantiate(&self, store: &mut Store<Call>) -> wasmtime::Result<World> {
        loop {
            match self.component.instantiate_async(&mut *store).await {
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
