//! Errors for a person: what went wrong, and the next step.

use std::fmt;

/// A mistake in the configuration, with the next step. The process exits with code 2.
#[derive(Debug)]
pub struct Failure {
    what: String,
    help: String,
}

impl Failure {
    /// An error with its next step.
    pub fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into() }
    }

    /// What went wrong.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The next step.
    pub fn help(&self) -> &str {
        &self.help
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  help: {}", self.what, self.help)
    }
}

impl std::error::Error for Failure {}

/// The exit code for an error: 2 for a [`Failure`], otherwise 1.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<Failure>() { 2 } else { 1 }
}
