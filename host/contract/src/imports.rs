//! The imports that are available to every plugin. Capabilities have imports of their own.

use std::marker::PhantomData;

use wasmtime::component::HasData;

/// The level of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Single steps.
    Trace,
    /// Details for debugging.
    Debug,
    /// Information for operators.
    Info,
    /// A possible problem.
    Warn,
    /// A failure.
    Error,
}

/// The host's side of one call.
pub trait Imports: Send {
    /// The value of a key in the plugin's configuration.
    ///
    /// # Errors
    /// An error ends the call.
    fn config(&mut self, key: &str) -> wasmtime::Result<Option<String>>;

    /// Keeps the effects that the call has had by now, whatever its outcome.
    ///
    /// # Errors
    /// An error ends the call.
    fn keep_effects(&mut self) -> wasmtime::Result<()>;

    /// Writes a log line with additional fields.
    ///
    /// # Errors
    /// An error ends the call.
    fn log(&mut self, level: Level, text: String, fields: Vec<(String, String)>) -> wasmtime::Result<()>;
}

/// Implements the generated traits of every version.
pub(crate) struct Host<'a, T>(pub &'a mut T);

/// Selects [`Host`] in a linker.
pub(crate) struct Provided<T>(PhantomData<T>);

impl<T: Imports + 'static> HasData for Provided<T> {
    type Data<'a> = Host<'a, T>;
}
