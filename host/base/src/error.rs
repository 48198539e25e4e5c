//! Errors a person reads: what went wrong, and what to do next.

use std::fmt;

/// An error with the next step beside it, and the exit code it ends the process with.
#[derive(Debug)]
pub struct UserError {
    what: String,
    help: Vec<String>,
    code: u8,
}

impl UserError {
    /// Something given was wrong: exit code 2.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: Vec::new(), code: 2 }
    }

    /// Something needed was not there: exit code 1.
    pub fn unavailable(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: Vec::new(), code: 1 }
    }

    /// Adds a next step.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Names what it is about, in front.
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        self.what = format!("{place}: {}", self.what);
        self
    }

    /// The same where it answers a question: exit code 1.
    #[must_use]
    pub fn as_answer(self) -> Self {
        Self { code: 1, ..self }
    }

    /// What went wrong, without the next steps.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The next steps.
    pub fn next_steps(&self) -> &[String] {
        &self.help
    }

    /// The process's exit code: 1 or 2.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.help.iter().try_for_each(|help| write!(f, "\n  help: {help}"))
    }
}

impl std::error::Error for UserError {}

/// The exit code that an error ends the process with: its own where it is a [`UserError`], else 1.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<UserError>().map_or(1, UserError::code)
}
