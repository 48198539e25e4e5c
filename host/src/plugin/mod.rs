//! A plugin: a component that implements the contract, ready to be called.

pub mod bindings;
pub mod call;
pub mod cause;
pub mod engine;
mod imports;
pub mod load;
pub mod output;
pub mod subscription;

use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Engine, PoolConcurrencyLimitError, Store};

use self::bindings::consumer::plugin::types::{Message, Outcome};
use self::bindings::{Plugin as World, PluginPre};
use self::call::{CALL_TIMEOUT, Call, Services};
use self::cause::Cause;
use self::output::Place;
use self::subscription::Subscription;

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
    services: Arc<Services>,
}

impl Plugin {
    /// Gives one message to a fresh instance.
    ///
    /// # Errors
    /// The plugin gave no outcome: it trapped, took too long or too much.
    pub async fn handle(&self, message: Message<'_>, place: Place) -> Result<Outcome, Cause> {
        let mut store = Call::store(&self.engine, place, Some(Arc::clone(&self.services)));
        let call = async {
            let instance = self.instantiate(&mut store).await?;
            instance.consumer_plugin_handler().call_handle(&mut store, &[message]).await
        };
        // Bounds host calls, which epochs do not stop. The store ends with the call either way.
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Err(_) => Err(Cause::timeout(&format!("no outcome after {} s", CALL_TIMEOUT.as_secs()))),
            Ok(Err(error)) => Err(Cause::from_error(&error, store.data())),
            Ok(Ok(outcomes)) => match <[Outcome; 1]>::try_from(outcomes) {
                Ok([outcome]) => Ok(outcome),
                Err(outcomes) => Err(Cause::outcomes(outcomes.len())),
            },
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
