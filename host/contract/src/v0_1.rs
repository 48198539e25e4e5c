//! Version 0.1 of the contract, for components that were built for it. It differs from 0.2 in names.

mod bindings;

use wasmtime::AsContextMut;
use wasmtime::component::Linker;

use self::bindings::consumer::plugin::{config, effects, log};
use self::bindings::exports::consumer::plugin::lifecycle;
pub(crate) use self::bindings::{HandlerOnly as Instance, HandlerOnlyPre as Linked};
use crate::imports::{Host, Imports, Level, Provided};
use crate::types::{Description, RetryPolicy, Subscription};

/// The package, and the first two numbers of the version, which must match.
pub(crate) const PACKAGE: (&str, &str) = ("consumer:plugin", "0.1");

/// Adds the imports of this version to a linker. Those without functions need not be there.
pub(crate) fn link<T: Imports + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    config::add_to_linker::<T, Provided<T>>(linker, |data| Host(data))?;
    effects::add_to_linker::<T, Provided<T>>(linker, |data| Host(data))?;
    log::add_to_linker::<T, Provided<T>>(linker, |data| Host(data))
}

/// Calls `describe`.
pub(crate) async fn describe(
    guest: &Instance,
    store: impl AsContextMut<Data: Send>,
) -> wasmtime::Result<Description> {
    guest.consumer_plugin_lifecycle().call_describe(store).await.map(description)
}

impl<T: Imports> config::Host for Host<'_, T> {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.0.config(&key)
    }
}

impl<T: Imports> effects::Host for Host<'_, T> {
    fn keep(&mut self) -> wasmtime::Result<()> {
        self.0.keep_effects()
    }
}

impl<T: Imports> log::Host for Host<'_, T> {
    fn write(
        &mut self,
        level: log::Level,
        text: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.0.log(level, text, fields)
    }
}

fn description(description: lifecycle::Description) -> Description {
    let lifecycle::Description { name, version, summary, subscription, attributes } = description;
    let lifecycle::Subscription { topic, group, dead_letter_topic, retry } = subscription;
    let lifecycle::RetryPolicy { retries, delay_ms, multiplier, max_delay_ms, jitter, max_age_ms } = retry;
    let retry = RetryPolicy { retries, delay_ms, multiplier, max_delay_ms, jitter, max_age_ms };
    let subscription = Subscription { topic, group, dead_letter_topic, retry };
    Description { name, version, summary, subscription, attributes }
}
