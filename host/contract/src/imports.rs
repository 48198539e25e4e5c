//! What every host provides to every plugin. Capabilities bring their own imports.

/// The level of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For following single steps.
    Trace,
    /// For finding faults.
    Debug,
    /// What an operator may want to know.
    Info,
    /// Something is off.
    Warn,
    /// Something failed.
    Error,
}

/// The host's side of one call.
pub trait Imports: Send {
    /// The value of a key of the plugin's configuration.
    ///
    /// # Errors
    /// It ends the call.
    fn config(&mut self, key: &str) -> wasmtime::Result<Option<String>>;

    /// Takes a line for the log, with further names and values.
    ///
    /// # Errors
    /// It ends the call.
    fn log(&mut self, level: Level, text: String, fields: Vec<(String, String)>) -> wasmtime::Result<()>;
}
