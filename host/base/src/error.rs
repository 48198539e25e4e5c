//! User-facing errors: the problem, and how to fix it.

use std::fmt;

/// An error with suggested fixes and the exit code of the process.
#[derive(Debug)]
pub struct UserError {
    what: String,
    help: Vec<String>,
    code: u8,
}

impl UserError {
    /// Invalid input: exit code 2.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: Vec::new(), code: 2 }
    }

    /// A required service or file is unavailable: exit code 1.
    pub fn unavailable(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: Vec::new(), code: 1 }
    }

    /// Adds a suggested fix.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Prefixes the message with its subject: `place: message`.
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        self.what = format!("{place}: {}", self.what);
        self
    }

    /// The same error as the result of a query, not of invalid input: exit code 1.
    #[must_use]
    pub fn as_answer(self) -> Self {
        Self { code: 1, ..self }
    }

    /// The problem, without the suggested fixes.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The suggested fixes.
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

/// The exit code for an error: that of a [`UserError`], otherwise 1.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<UserError>().map_or(1, UserError::code)
}
