//! Plugins with any supported version of the contract.

use wasmtime::component::{InstancePre, Linker};
use wasmtime::{AsContextMut, Store};

use crate::imports::Imports;
use crate::types::{Description, Message, Outcome};
use crate::v0_1;

/// The package that plugins import from and export to.
pub const PACKAGE: &str = "consumer:plugin";
/// The supported versions, for messages to users.
pub const VERSIONS: &str = "0.1";

/// Whether this version of the package is supported. Patch versions are compatible.
pub fn is_supported(version: &str) -> bool {
    version.strip_prefix(v0_1::VERSION).is_some_and(|rest| rest.starts_with('.'))
}

/// Adds the imports of every version to a linker.
///
/// # Errors
/// An import is defined twice.
pub fn link<T: Imports + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    v0_1::link(linker)
}

/// A linked component that implements the contract.
pub struct Linked<T: 'static>(v0_1::Linked<T>);

impl<T: Send> Linked<T> {
    /// Looks up the exports of the contract, and `handle-reset` if the component `resets`: `handle`, after which the
    /// instance is in its first state.
    ///
    /// # Errors
    /// An export is missing or has another type.
    pub fn new(component: InstancePre<T>, resets: bool) -> wasmtime::Result<Self> {
        v0_1::Linked::new(component, resets).map(Self)
    }

    /// Creates an instance.
    ///
    /// # Errors
    /// The instance pool is exhausted, or the component's start function fails.
    pub async fn instantiate(&self, store: &mut Store<T>) -> wasmtime::Result<Guest> {
        self.0.instantiate(store).await.map(Guest)
    }

    /// Creates an instance that is in its first state after each message. It cannot be described.
    ///
    /// # Errors
    /// As for [`Linked::instantiate`], or the component does not reset.
    pub async fn instantiate_resetting(&self, store: &mut Store<T>) -> wasmtime::Result<Guest> {
        self.0.instantiate_resetting(store).await.map(Guest)
    }
}

/// An instance of a plugin.
pub struct Guest(v0_1::Guest);

impl Guest {
    /// Calls `describe`.
    ///
    /// # Errors
    /// The plugin trapped or was interrupted.
    pub async fn describe(&self, store: impl AsContextMut<Data: Send>) -> wasmtime::Result<Description> {
        self.0.describe(store).await
    }

    /// Calls `handle` with one message. The plugin may return any number of outcomes.
    ///
    /// # Errors
    /// The plugin trapped or was interrupted.
    pub async fn handle(
        &self,
        store: impl AsContextMut<Data: Send>,
        message: Message<'_>,
    ) -> wasmtime::Result<Vec<Outcome>> {
        self.0.handle(store, message).await
    }

    /// Calls `handle` with several messages. The plugin may return any number of outcomes.
    ///
    /// # Errors
    /// As for [`Guest::handle`].
    pub async fn handle_batch(
        &self,
        store: impl AsContextMut<Data: Send>,
        messages: Vec<Message<'_>>,
    ) -> wasmtime::Result<Vec<Outcome>> {
        self.0.handle_batch(store, messages).await
    }
}
