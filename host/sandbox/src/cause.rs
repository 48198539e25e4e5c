//! Why a delivery failed: what goes into the headers of its next record.

use contract::{Failure, Outcome, RetryLater};
use effects::Interrupted;
use wasmtime::component::ResourceTableError;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::call::Call;
use crate::capabilities::mail::grant::TooMany;
use crate::limits::Exceeded;

/// The longest failure code, in bytes.
pub const MAX_CODE: usize = 64;
/// The longest detail.
const MAX_DETAIL: usize = 2 << 10;
/// How long a message waits while nothing can be written down of what it sends, in milliseconds.
const UNAVAILABLE_WAIT: u64 = 5_000;
/// The longest backtrace.
const MAX_BACKTRACE: usize = 4 << 10;

/// Why a delivery failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The kind of failure, in the form that Spring's `kafka_exception-fqcn` has.
    pub exception: &'static str,
    /// Short and stable: the name failures are grouped by.
    pub code: String,
    /// For a person.
    pub detail: String,
    /// Where in the guest, or empty.
    pub backtrace: String,
    /// What it leads to where no rule says otherwise.
    pub leads_to: LeadsTo,
}

/// What a failure leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeadsTo {
    /// Another attempt, as the policy has it.
    Retry,
    /// Another delivery after so many milliseconds, that spends no attempt.
    Wait(u64),
    /// A dead letter.
    Reject,
}

impl LeadsTo {
    /// The delay that was asked for, in milliseconds.
    pub fn after_ms(self) -> Option<u64> {
        if let Self::Wait(millis) = self { Some(millis) } else { None }
    }
}

impl Cause {
    /// Tells failures from what is done or skipped.
    ///
    /// # Errors
    /// It failed: the plugin says so, or gave no outcome.
    pub fn of(outcome: Result<Outcome, Self>) -> Result<Outcome, Self> {
        match outcome? {
            Outcome::Reject(failure) => Err(Self::reject(failure)),
            Outcome::Retry(later) => Err(Self::retry(later)),
            outcome @ (Outcome::Done(_) | Outcome::Skipped(_)) => Ok(outcome),
        }
    }

    /// The plugin asked for another try.
    pub fn retry(RetryLater { failure, after_ms }: RetryLater) -> Self {
        let leads_to = after_ms.map_or(LeadsTo::Retry, LeadsTo::Wait);
        Self::told("consumer.plugin.Retry", failure, leads_to)
    }

    /// The plugin gave the message up.
    pub fn reject(failure: Failure) -> Self {
        Self::told("consumer.plugin.Reject", failure, LeadsTo::Reject)
    }

    /// A dead letter of its key came before it, and its key is held.
    pub fn follows_dead_letter() -> Self {
        let detail = "a message of the same key before it is a dead letter, and the key is held";
        Self::own("consumer.plugin.Held", "follows-dead-letter", detail)
    }

    /// A call that went over a limit.
    pub(super) fn exceeded(limit: Exceeded, call: &Call) -> Self {
        let cause = Self::own(limit.exception(), limit.code(), &limit.detail(&call.grants.limits));
        cause.with_said(call)
    }

    /// Not one outcome for one message.
    pub(super) fn outcomes(count: usize) -> Self {
        let detail = format!("{count} outcomes for 1 message");
        Self::own("consumer.plugin.Outcome", "wrong-outcome-count", &detail)
    }

    /// What ended a call that gave no outcome.
    pub(super) fn from_error(error: &wasmtime::Error, call: &Call) -> Self {
        let memory = call.ran_out_of_memory().then_some(Exceeded::Memory);
        let cause = if let Some(limit) = call.exceeded().or(memory).or_else(|| kept_by_wasmtime(error)) {
            return Self::exceeded(limit, call).with_backtrace(error);
        } else if let Some(interrupted) = error.downcast_ref() {
            return Self::interrupted(interrupted);
        } else if let Some(too_many) = error.downcast_ref::<TooMany>() {
            let cause = Self::own("consumer.plugin.Effect", "too-many-mails", &too_many.to_string());
            return Self { leads_to: LeadsTo::Wait(too_many.millis()), ..cause };
        } else if let Some(I32Exit(status)) = error.downcast_ref() {
            let detail = format!("the plugin ended itself with status {status}");
            Self::own("consumer.plugin.Exit", "exit", &detail)
        } else {
            match error.downcast_ref::<Trap>() {
                Some(Trap::StackOverflow) => {
                    Self::own("consumer.plugin.StackOverflow", "stack-overflow", "call stack exhausted")
                }
                Some(trap) => Self::own("consumer.plugin.Trap", "trap", &trap.to_string()),
                None => Self::own("consumer.plugin.Trap", "trap", &error.root_cause().to_string()),
            }
        };
        cause.with_said(call).with_backtrace(error)
    }

    fn interrupted(interrupted: &Interrupted) -> Self {
        let (code, leads_to) = match interrupted {
            Interrupted::Unknown => ("unknown-effect", LeadsTo::Reject),
            Interrupted::Unavailable(_) => ("store-unavailable", LeadsTo::Wait(UNAVAILABLE_WAIT)),
        };
        Self { leads_to, ..Self::own("consumer.plugin.Effect", code, &interrupted.to_string()) }
    }

    /// With what the guest printed last, which often says why.
    fn with_said(mut self, call: &Call) -> Self {
        let said = call.output.last_errors();
        if !said.is_empty() {
            self.detail = cut(format!("{}: {said}", self.detail), MAX_DETAIL);
        }
        self
    }

    fn with_backtrace(mut self, error: &wasmtime::Error) -> Self {
        if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
            self.backtrace = cut(backtrace.to_string(), MAX_BACKTRACE);
        }
        self
    }

    fn told(exception: &'static str, failure: Failure, leads_to: LeadsTo) -> Self {
        let code =
            if failure.code.is_empty() { "unspecified".to_owned() } else { cut(failure.code, MAX_CODE) };
        Self { exception, code, detail: cut(failure.detail, MAX_DETAIL), backtrace: String::new(), leads_to }
    }

    fn own(exception: &'static str, code: &str, detail: &str) -> Self {
        Self {
            exception,
            code: code.to_owned(),
            detail: detail.to_owned(),
            backtrace: String::new(),
            leads_to: LeadsTo::Retry,
        }
    }
}

/// The limits that wasmtime keeps; for two of them it has no type, only words. A backtrace shows the guest
/// in the middle of a host call, without one it had returned its outcome.
fn kept_by_wasmtime(error: &wasmtime::Error) -> Option<Exceeded> {
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return Some(Exceeded::Handles);
    }
    let cause = error.root_cause().to_string();
    let is_random = cause.starts_with("requested len ") && cause.contains("exceeds limit");
    let is_copied = cause.starts_with("too much data is being copied");
    let in_host_call = error.downcast_ref::<WasmBacktrace>().is_some();
    (is_copied || is_random).then_some(if in_host_call { Exceeded::HandOver } else { Exceeded::Outcome })
}

fn cut(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_says_is_bounded() {
        let failure = Failure { code: "가".repeat(100), detail: "x".repeat(10_000) };
        let cause = Cause::retry(RetryLater { failure, after_ms: None });
        assert_eq!((cause.code.len(), cause.detail.len()), (63, MAX_DETAIL));
        assert_eq!(Cause::reject(Failure { code: String::new(), detail: String::new() }).code, "unspecified");
    }
}
