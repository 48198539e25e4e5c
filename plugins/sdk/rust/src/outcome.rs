//! What becomes of a message.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::bindings::kafka_host::plugin::messages::{self as contract, RetryLater};

/// The maximum length of a receipt, reason or detail, in bytes. Above 64 KiB the host would refuse the outcome, and the
/// failure would lose its code.
const MAX_TEXT: usize = 8 << 10;

/// The result of a handler: an [`Outcome`], or the [`Failure`] of the message.
pub type Result<T = Outcome, E = Failure> = std::result::Result<T, E>;

/// The outcome of a message that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The message is handled, with a provider's receipt or an empty text.
    Done(String),
    /// There was nothing to do; with a reason or an empty text.
    Skipped(String),
}

/// The failure of a message. The host tries it again later, or makes it a dead letter at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    code: Cow<'static, str>,
    detail: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Retry(Option<Duration>),
    Reject,
}

/// A temporary failure: the message is delivered again, after the next delay of the retry policy.
///
/// The code is short and stable, of lower-case words joined by `-`: failures are grouped by it, and rules of the
/// configuration match it. The detail is for people, without secrets.
pub fn retry(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Failure {
    Failure { code: code.into(), detail: detail.into(), kind: Kind::Retry(None) }
}

/// A permanent failure: the message becomes a dead letter without a retry. For code and detail see [`retry`].
pub fn reject(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Failure {
    Failure { code: code.into(), detail: detail.into(), kind: Kind::Reject }
}

impl Outcome {
    /// The message is handled; with a provider's receipt, or any short text for the log.
    pub fn done(receipt: impl Into<String>) -> Self {
        Self::Done(receipt.into())
    }

    /// There was nothing to do, for this reason.
    pub fn skipped(reason: impl Into<String>) -> Self {
        Self::Skipped(reason.into())
    }
}

impl Failure {
    /// Asks for a retry after this delay, which a provider has requested (`Retry-After`). It uses no attempt, and is limited
    /// by the policy's maximum age. A rejection becomes a retry.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.kind = Kind::Retry(Some(delay));
        self
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Its detail.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether the message is delivered again.
    #[must_use]
    pub fn is_retry(&self) -> bool {
        self.kind != Kind::Reject
    }

    /// The delay that was asked for.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        match self.kind {
            Kind::Retry(delay) => delay,
            Kind::Reject => None,
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl Error for Failure {}

/// Makes a [`Failure`] of any error, whose text becomes the detail.
///
/// ```
/// use kafka_host_plugin::{OrFail, Result};
///
/// fn amount(text: &str) -> Result<u64> {
///     text.parse().or_reject("invalid-amount")
/// }
/// assert_eq!(amount("x").unwrap_err().to_string(), "invalid-amount: invalid digit found in string");
/// ```
pub trait OrFail<T> {
    /// An error is temporary; see [`retry`].
    ///
    /// # Errors
    /// A failure with this code.
    fn or_retry(self, code: &'static str) -> Result<T>;

    /// An error is permanent; see [`reject`].
    ///
    /// # Errors
    /// A failure with this code.
    fn or_reject(self, code: &'static str) -> Result<T>;
}

impl<T, E: Display> OrFail<T> for std::result::Result<T, E> {
    // `{:#}` has the causes too, where an error supports it.
    fn or_retry(self, code: &'static str) -> Result<T> {
        self.map_err(|error| retry(code, format!("{error:#}")))
    }

    fn or_reject(self, code: &'static str) -> Result<T> {
        self.map_err(|error| reject(code, format!("{error:#}")))
    }
}

/// What a handler may return: an [`Outcome`] or nothing, or a result of either with a [`Failure`].
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    note = "it returns `Outcome`, `()`, or a `Result` of either whose error becomes a `Failure`"
)]
pub trait IntoResult {
    /// The result.
    ///
    /// # Errors
    /// The message failed.
    fn into_result(self) -> Result;
}

impl IntoResult for Outcome {
    fn into_result(self) -> Result {
        Ok(self)
    }
}

impl IntoResult for () {
    fn into_result(self) -> Result {
        Ok(Outcome::done(""))
    }
}

impl<T: IntoResult, E: Into<Failure>> IntoResult for std::result::Result<T, E> {
    fn into_result(self) -> Result {
        self.map_err(Into::into)?.into_result()
    }
}

/// The contract's outcome.
pub(crate) fn lower(result: Result) -> contract::Outcome {
    match result {
        Ok(Outcome::Done(receipt)) => contract::Outcome::Done(bounded(receipt)),
        Ok(Outcome::Skipped(reason)) => contract::Outcome::Skipped(bounded(reason)),
        Err(Failure { code, detail, kind }) => {
            let failure = contract::Failure { code: code.into_owned(), detail: bounded(detail) };
            match kind {
                Kind::Reject => contract::Outcome::Reject(failure),
                Kind::Retry(delay) => {
                    // More milliseconds than fit are more than any maximum age.
                    let after_ms = delay.map(|delay| delay.as_millis().try_into().unwrap_or(u64::MAX));
                    contract::Outcome::Retry(RetryLater { failure, after_ms })
                }
            }
        }
    }
}

fn bounded(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT - '…'.len_utf8()));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_become_outcomes_of_the_contract() {
        let failure = || contract::Failure { code: "busy".into(), detail: "later".into() };
        let retried = |after_ms| contract::Outcome::Retry(RetryLater { failure: failure(), after_ms });
        for (result, outcome) in [
            (Ok(Outcome::done("r")), contract::Outcome::Done("r".into())),
            (Ok(Outcome::skipped("r")), contract::Outcome::Skipped("r".into())),
            (Err(reject("busy", "later")), contract::Outcome::Reject(failure())),
            (Err(retry("busy", "later")), retried(None)),
            (Err(retry("busy", "later").after(Duration::from_secs(2))), retried(Some(2000))),
            (Err(reject("busy", "later").after(Duration::MAX)), retried(Some(u64::MAX))),
        ] {
            assert_eq!(lower(result), outcome);
        }
    }

    #[test]
    fn handlers_return_what_suits_them() {
        let done = Ok(Outcome::done(""));
        assert_eq!(().into_result(), done);
        assert_eq!(Ok::<(), Failure>(()).into_result(), done);
        assert_eq!(Err::<(), Failure>(reject("no", "way")).into_result(), Err(reject("no", "way")));
        assert_eq!("x".parse::<u8>().or_retry("number").unwrap_err().code(), "number");
        assert!("x".parse::<u8>().or_retry("number").unwrap_err().is_retry());
        assert!(!"x".parse::<u8>().or_reject("number").unwrap_err().is_retry());
    }

    #[test]
    fn a_long_detail_is_shortened_between_characters() {
        let contract::Outcome::Done(text) = lower(Ok(Outcome::done("한".repeat(MAX_TEXT)))) else {
            panic!()
        };
        assert!(
            text.len() <= MAX_TEXT && text.len() > MAX_TEXT - 4 && text.ends_with("한…"),
            "{}",
            text.len()
        );
        assert_eq!(bounded("한".into()), "한");
    }
}
