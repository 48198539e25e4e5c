//! What a check has found to be wrong: how bad it is, what it leads to, and what to do.

use std::fmt;

use serde::Serialize;

use crate::error::UserError;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The host runs, and works worse than it could, or may lose messages in an outage.
    Warning,
    /// Messages are lost or not handled, or the host does not start.
    Error,
}

/// Something that is wrong. Its text has no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, with the name of the thing.
    pub problem: String,
    /// What it leads to.
    pub why: String,
    /// What to do: commands where there are any, the best first.
    pub cures: Vec<String>,
}

impl Finding {
    /// Messages are lost or not handled, or the host does not start.
    pub fn error(problem: impl Into<String>, why: impl Into<String>) -> Self {
        Self { severity: Severity::Error, problem: problem.into(), why: why.into(), cures: Vec::new() }
    }

    /// The host runs all the same.
    pub fn warning(problem: impl Into<String>, why: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(problem, why) }
    }

    /// Adds something to do.
    #[must_use]
    pub fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cures.push(cure.into());
        self
    }

    /// An error with which the host does not start.
    pub fn refusal(error: &UserError) -> Self {
        Self::of(Severity::Error, error, "the host does not start")
    }

    /// An error that leads to `why`.
    pub fn of(severity: Severity, error: &UserError, why: impl Into<String>) -> Self {
        let (problem, why) = (error.problem().to_owned(), why.into());
        Self { severity, problem, why, cures: error.fixes().to_vec() }
    }
}

/// One line, for the log.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem, self.why)?;
        self.cures.iter().try_for_each(|cure| write!(f, "; {cure}"))
    }
}

impl From<Finding> for UserError {
    fn from(finding: Finding) -> Self {
        let error = Self::usage(format!("{}: {}", finding.problem, finding.why));
        finding.cures.into_iter().fold(error, Self::help)
    }
}
