//! Plugins with any supported version of the contract.

use wasmtime::component::{InstancePre, Linker};
use wasmtime::{AsContextMut, Store};

use crate::imports::Imports;
use crate::types::{Description, Message, Outcome};
use crate::v0_2::resetting::{Resetting, ResettingPre};
use crate::{v0_1, v0_2, wire};

/// The supported versions, for messages to users.
pub const VERSIONS: &str = "kafka-host:plugin 0.2 and consumer:plugin 0.1";

/// Each package of the contract with the first two numbers of its version. Patch versions are compatible.
const PACKAGES: [(&str, &str); 2] = [v0_2::PACKAGE, v0_1::PACKAGE];

/// Whether this is a package of the contract, of any version.
pub fn is_package(package: &str) -> bool {
    PACKAGES.iter().any(|(name, _)| *name == package)
}

/// Whether this version of the package is supported.
pub fn is_supported(package: &str, version: &str) -> bool {
    let is_patch = |of: &str| version.strip_prefix(of).is_some_and(|rest| rest.starts_with('.'));
    PACKAGES.iter().any(|(name, of)| *name == package && is_patch(of))
}

/// Adds the imports of every version to a linker.
///
/// # Errors
/// An import is defined twice.
pub fn link<T: Imports + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    v0_1::link(linker)?;
    v0_2::link(linker)
}

/// A linked component that implements the contract.
pub struct Linked<T: 'static> {
    plain: Plain<T>,
    resetting: Option<ResettingPre<T>>,
}

/// The exports, by version.
enum Plain<T: 'static> {
    V0_1(v0_1::Linked<T>),
    V0_2(v0_2::Linked<T>),
}

impl<T: Send> Linked<T> {
    /// Looks up the exports of the contract, and `handle-reset` if the component `resets`: `handle`, after which the
    /// instance is in its first state.
    ///
    /// # Errors
    /// An export is missing or has another type.
    pub fn new(component: InstancePre<T>, resets: bool) -> wasmtime::Result<Self> {
        let resetting = resets.then(|| ResettingPre::new(component.clone())).transpose()?;
        let (kind, engine) = (component.component().component_type(), component.engine().clone());
        let is_first = kind.exports(&engine).any(|(name, _)| name.starts_with(v0_1::PACKAGE.0));
        let plain = match is_first {
            true => Plain::V0_1(v0_1::Linked::new(component)?),
            false => Plain::V0_2(v0_2::Linked::new(component)?),
        };
        Ok(Self { plain, resetting })
    }

    /// Creates an instance.
    ///
    /// # Errors
    /// The instance pool is exhausted, or the component's start function fails.
    pub async fn instantiate(&self, store: &mut Store<T>) -> wasmtime::Result<Guest> {
        Ok(Guest(match &self.plain {
            Plain::V0_1(component) => Instance::V0_1(component.instantiate_async(store).await?),
            Plain::V0_2(component) => Instance::V0_2(component.instantiate_async(store).await?),
        }))
    }

    /// Creates an instance that is in its first state after each message. It cannot be described.
    ///
    /// # Errors
    /// As for [`Linked::instantiate`], or the component does not reset.
    pub async fn instantiate_resetting(&self, store: &mut Store<T>) -> wasmtime::Result<Guest> {
        // A plain instance in its place would keep the state of a message.
        let resetting = self.resetting.as_ref();
        let resetting = resetting.ok_or_else(|| wasmtime::Error::msg("the component does not reset"))?;
        resetting.instantiate_async(store).await.map(Instance::Resetting).map(Guest)
    }
}

/// An instance of a plugin.
pub struct Guest(Instance);

enum Instance {
    V0_1(v0_1::Instance),
    V0_2(v0_2::Instance),
    Resetting(Resetting),
}

impl Guest {
    /// Calls `describe`.
    ///
    /// # Errors
    /// The plugin trapped or was interrupted.
    pub async fn describe(&self, store: impl AsContextMut<Data: Send>) -> wasmtime::Result<Description> {
        match &self.0 {
            Instance::V0_1(guest) => v0_1::describe(guest, store).await,
            Instance::V0_2(guest) => v0_2::describe(guest, store).await,
            Instance::Resetting(_) => Err(wasmtime::Error::msg("an instance that resets is not described")),
        }
    }

    /// Calls `handle` with one message. The plugin may return any number of outcomes.
    ///
    /// # Errors
    /// The plugin trapped or was interrupted.
    pub async fn handle(
        &self,
        store: impl AsContextMut<Data: Send>,
        mut message: Message<'_>,
    ) -> wasmtime::Result<Vec<Outcome>> {
        let headers = wire::headers(&mut message);
        self.call(store, &[wire::message(&message, &headers)]).await
    }

    /// Calls `handle` with several messages. The plugin may return any number of outcomes.
    ///
    /// # Errors
    /// As for [`Guest::handle`].
    pub async fn handle_batch(
        &self,
        store: impl AsContextMut<Data: Send>,
        mut messages: Vec<Message<'_>>,
    ) -> wasmtime::Result<Vec<Outcome>> {
        let headers: Vec<_> = messages.iter_mut().map(wire::headers).collect();
        let messages: Vec<_> =
            messages.iter().zip(&headers).map(|(message, headers)| wire::message(message, headers)).collect();
        self.call(store, &messages).await
    }

    async fn call(
        &self,
        store: impl AsContextMut<Data: Send>,
        messages: &[wire::Message<'_>],
    ) -> wasmtime::Result<Vec<Outcome>> {
        let outcomes = match &self.0 {
            Instance::V0_1(guest) => guest.consumer_plugin_handler().call_handle(store, messages).await?,
            Instance::V0_2(guest) => guest.kafka_host_plugin_handler().call_handle(store, messages).await?,
            Instance::Resetting(guest) => guest.call_handle_reset(store, messages).await?,
        };
        Ok(outcomes.into_iter().map(wire::outcome).collect())
    }
}
