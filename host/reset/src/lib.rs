//! Components that put their instances back to the first state after each call, so that a reused instance is as new as
//! a fresh one.
//!
//! A rewritten component has all that it had before. In addition, its core modules note which parts of the memory they
//! write ([`cards`]), and export their memory and their mutable globals to one more module ([`undo`]). That module saves
//! the globals when it is instantiated, and with them the memory if it cannot be known from the data segments. Its
//! function `reset` restores the globals and the parts of the memory that were written. It is the post-return function
//! of another export, [`EXPORT`], which otherwise is `handle`: the embedder lifts the result and then resets the
//! instance by itself, as it would free the result.
//!
//! Which components qualify is a list of what is known, in [`module`], [`component`] and [`operators`]. What lies
//! outside a component (handles, growth, the embedder's own state) is up to the embedder: it must drop an instance
//! whose memory has grown or that has got a handle.

mod cards;
mod component;
mod image;
mod layout;
mod module;
mod operators;
mod output;
mod reason;
mod results;
mod sections;
mod undo;

pub use self::reason::Reason;

/// The export that is `handle` and then resets the instance.
pub const EXPORT: &str = "handle-reset";
/// The export that hashes the memory, its size and the mutable globals, as `func() -> s64` ([`Options::hash`]).
pub const HASH: &str = "hash";
/// The maximum initial memory in pages of 64 KiB. A rewritten component has a copy of it. Interpreters have up to 14 MiB.
pub const MAX_PAGES: u64 = 256;

/// Variants for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Whether instances are reset; if not, [`EXPORT`] leaves everything as it is.
    pub resets: bool,
    /// Whether there is an export [`HASH`].
    pub hash: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { resets: true, hash: false }
    }
}

/// Adds [`EXPORT`] to a component.
///
/// # Errors
/// The reason why its instances cannot be reset, such as that it is not valid.
pub fn rewrite(component: &[u8], options: Options) -> Result<Vec<u8>, Reason> {
    // What refers to nothing must not refer to what is added.
    let types = wasmparser::Validator::new().validate_all(component)?;
    component::Component::read(component, types.as_ref())?.with_reset(options)
}
