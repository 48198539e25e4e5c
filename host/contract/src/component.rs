//! Plugins of any version of the contract.

use wasmtime::component::{InstancePre, Linker};
use wasmtime::{AsContextMut, Store};

use crate::imports::Imports;
use crate::types::{Description, Message, Outcome};
use crate::v0_1;

/// The package that plugins import from and export to.
pub const PACKAGE: &str = "consumer:plugin";
/// The versions that this host speaks, for people.
pub const VERSIONS: &str = "0.1";

/// Whether this host speaks this version of the package. A patch adds nothing that a plugin could miss.
pub fn speaks(version: &str) -> bool {
    version.strip_prefix(v0_1::VERSION).is_some_and(|rest| rest.starts_with('.'))
}

/// Provides what every version imports.
///
/// # Errors
/// Two definitions of one import.
pub fn link<T: Imports + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    v0_1::link(linker)
}

/// A linked component that exports the contract.
pub struct Linked<T: 'static>(v0_1::Linked<T>);

impl<T: Send> Linked<T> {
    /// Looks its exports up.
    ///
    /// # Errors
    /// One of them is missing, or of another type.
    pub fn new(component: InstancePre<T>) -> wasmtime::Result<Self> {
        v0_1::Linked::new(component).map(Self)
    }

    /// Makes an instance.
    ///
    /// # Errors
    /// There is no room, or the component's start function fails.
    pub async fn instantiate(&self, store: &mut Store<T>) -> wasmtime::Result<Guest> {
        self.0.instantiate(store).await.map(Guest)
    }
}

/// An instance of a plugin.
pub struct Guest(v0_1::Guest);

impl Guest {
    /// Asks it what it is.
    ///
    /// # Errors
    /// It trapped, or was cut off.
    pub async fn describe(&self, store: impl AsContextMut<Data: Send>) -> wasmtime::Result<Description> {
        self.0.describe(store).await
    }

    /// Gives it one message. Its answer may have any number of outcomes.
    ///
    /// # Errors
    /// It trapped, or was cut off.
    pub async fn handle(
        &self,
        store: impl AsContextMut<Data: Send>,
        message: Message<'_>,
    ) -> wasmtime::Result<Vec<Outcome>> {
        self.0.handle(store, message).await
    }
}
