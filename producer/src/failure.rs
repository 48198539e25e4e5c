//! Errors a person reads: what went wrong, and what to do next.

use std::fmt;

/// Something given was wrong; carries the next step, and ends the process with exit code 2.
#[derive(Debug)]
pub struct Failure {
    what: String,
    help: String,
}

impl Failure {
    /// What went wrong, and the next step.
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

/// The exit code that an error ends the process with: 2 for a [`Failure`], else 1.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<Failure>() { 2 } else { 1 }
}
