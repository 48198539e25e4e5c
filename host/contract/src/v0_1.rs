//! Version 0.1 of the contract. Its generated types are private to this module.

mod bindings;

use std::marker::PhantomData;

use wasmtime::component::{HasData, InstancePre, Linker};
use wasmtime::{AsContextMut, Store};

use self::bindings::consumer::plugin::types::{self as wire};
use self::bindings::consumer::plugin::{config, effects, log};
use self::bindings::exports::consumer::plugin::lifecycle;
use self::bindings::resetting::{Resetting, ResettingPre};
use self::bindings::{HandlerOnly, HandlerOnlyPre};
use crate::imports::{Imports, Level};
use crate::types::{Description, Failure, Message, Outcome, RetryLater, RetryPolicy, Subscription};

/// The first two numbers of the version, which must match.
pub(crate) const VERSION: &str = "0.1";

/// Adds the imports of this version to a linker.
pub(crate) fn link<T: Imports + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    HandlerOnly::add_to_linker::<T, Provided<T>>(linker, |data| Host(data))
}

pub(crate) struct Linked<T: 'static> {
    plain: HandlerOnlyPre<T>,
    resetting: Option<ResettingPre<T>>,
}

impl<T: Send> Linked<T> {
    pub(crate) fn new(component: InstancePre<T>, resets: bool) -> wasmtime::Result<Self> {
        let resetting = resets.then(|| ResettingPre::new(component.clone())).transpose()?;
        Ok(Self { plain: HandlerOnlyPre::new(component)?, resetting })
    }

    pub(crate) async fn instantiate(&self, store: &mut Store<T>) -> wasmtime::Result<Guest> {
        self.plain.instantiate_async(store).await.map(Guest::Plain)
    }

    pub(crate) async fn instantiate_resetting(&self, store: &mut Store<T>) -> wasmtime::Result<Guest> {
        // A plain instance in its place would keep the state of a message.
        let resetting = self.resetting.as_ref();
        let resetting = resetting.ok_or_else(|| wasmtime::Error::msg("the component does not reset"))?;
        resetting.instantiate_async(store).await.map(Guest::Resetting)
    }
}

pub(crate) enum Guest {
    Plain(HandlerOnly),
    Resetting(Resetting),
}

impl Guest {
    pub(crate) async fn describe(
        &self,
        store: impl AsContextMut<Data: Send>,
    ) -> wasmtime::Result<Description> {
        match self {
            Self::Plain(guest) => {
                guest.consumer_plugin_lifecycle().call_describe(store).await.map(description)
            }
            Self::Resetting(_) => Err(wasmtime::Error::msg("an instance that resets is not described")),
        }
    }

    pub(crate) async fn handle(
        &self,
        store: impl AsContextMut<Data: Send>,
        mut message: Message<'_>,
    ) -> wasmtime::Result<Vec<Outcome>> {
        let headers = headers(&mut message);
        self.call(store, &[wire_message(&message, &headers)]).await
    }

    pub(crate) async fn handle_batch(
        &self,
        store: impl AsContextMut<Data: Send>,
        mut messages: Vec<Message<'_>>,
    ) -> wasmtime::Result<Vec<Outcome>> {
        let headers: Vec<_> = messages.iter_mut().map(headers).collect();
        let messages: Vec<_> =
            messages.iter().zip(&headers).map(|(message, headers)| wire_message(message, headers)).collect();
        self.call(store, &messages).await
    }

    async fn call(
        &self,
        store: impl AsContextMut<Data: Send>,
        messages: &[wire::Message<'_>],
    ) -> wasmtime::Result<Vec<Outcome>> {
        let outcomes = match self {
            Self::Plain(guest) => guest.consumer_plugin_handler().call_handle(store, messages).await?,
            Self::Resetting(guest) => guest.call_handle_reset(store, messages).await?,
        };
        Ok(outcomes.into_iter().map(outcome).collect())
    }
}

/// Takes the headers of a message. Both types have the same layout, so that the list is converted without an allocation.
fn headers<'a>(message: &mut Message<'a>) -> Vec<wire::Header<'a>> {
    let headers = std::mem::take(&mut message.headers).into_iter();
    headers.map(|header| wire::Header { key: header.key, value: header.value }).collect()
}

fn wire_message<'a>(message: &Message<'a>, headers: &'a [wire::Header<'a>]) -> wire::Message<'a> {
    wire::Message {
        id: message.id,
        topic: message.topic,
        partition: message.partition,
        offset: message.offset,
        timestamp_ms: message.timestamp_ms,
        key: message.key,
        value: message.value,
        headers,
        attempt: message.attempt,
        max_attempts: message.max_attempts,
        attributes: &[],
    }
}

/// Selects the implementation of the imports.
struct Provided<T>(PhantomData<T>);

impl<T: Imports + 'static> HasData for Provided<T> {
    type Data<'a> = Host<'a, T>;
}

struct Host<'a, T>(&'a mut T);

impl<T: Imports> wire::Host for Host<'_, T> {}

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

fn outcome(outcome: wire::Outcome) -> Outcome {
    match outcome {
        wire::Outcome::Done(text) => Outcome::Done(text),
        wire::Outcome::Skipped(text) => Outcome::Skipped(text),
        wire::Outcome::Retry(wire::RetryLater { failure: why, after_ms }) => {
            Outcome::Retry(RetryLater { failure: failure(why), after_ms })
        }
        wire::Outcome::Reject(why) => Outcome::Reject(failure(why)),
    }
}

fn failure(wire::Failure { code, detail }: wire::Failure) -> Failure {
    Failure { code, detail }
}

fn description(description: lifecycle::Description) -> Description {
    let lifecycle::Description { name, version, summary, subscription, attributes } = description;
    let lifecycle::Subscription { topic, group, dead_letter_topic, retry } = subscription;
    let lifecycle::RetryPolicy { retries, delay_ms, multiplier, max_delay_ms, jitter, max_age_ms } = retry;
    let retry = RetryPolicy { retries, delay_ms, multiplier, max_delay_ms, jitter, max_age_ms };
    let subscription = Subscription { topic, group, dead_letter_topic, retry };
    Description { name, version, summary, subscription, attributes }
}
