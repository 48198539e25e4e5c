//! The cause of a failed delivery, which the headers of its next record contain.

use contract::{Failure, Outcome, RetryLater};
use effects::Interrupted;
use wasmtime::component::ResourceTableError;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::call::Call;
use crate::call_end::CallEnd;
use crate::exception::Exception;
use crate::limits::Exceeded;
use crate::shortage::Shortage;

/// The maximum length of a failure code, in bytes.
pub const MAX_CODE: usize = 64;
/// The maximum length of a detail, in bytes.
const MAX_DETAIL: usize = 2 << 10;
/// How long a message waits after the task of its effect was interrupted, in milliseconds.
const INTERRUPTED_WAIT: u64 = 5_000;
/// The maximum length of a backtrace, in bytes.
const MAX_BACKTRACE: usize = 4 << 10;

/// The kind of a failure for which the plugin requests a retry.
const REQUESTED_RETRY: &str = "consumer.plugin.Retry";

/// The cause of a failed delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The kind of failure, in the form of Spring's `kafka_exception-fqcn`.
    pub exception: &'static str,
    /// Short and stable; failures with the same code are counted together.
    pub code: String,
    /// A text for operators.
    pub detail: String,
    /// The backtrace of the guest, or empty.
    pub backtrace: String,
    /// The consequence, unless a rule applies.
    pub leads_to: LeadsTo,
}

/// The consequence of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeadsTo {
    /// A retry, by the policy.
    Retry,
    /// Another delivery after this time in milliseconds, without spending an attempt.
    Wait(u64),
    /// Another call at once, without spending an attempt: a destination that the message needs does not work. The call
    /// waits for it.
    Again,
    /// A dead letter.
    Reject,
    /// Nothing: the partition is being closed, or the plugin is paused. The message is delivered again.
    Nothing,
}

impl LeadsTo {
    /// The requested delay, in milliseconds.
    pub fn after_ms(self) -> Option<u64> {
        if let Self::Wait(millis) = self { Some(millis) } else { None }
    }
}

impl Cause {
    /// Separates failures from successes.
    ///
    /// # Errors
    /// The plugin requested a retry, rejected the message, or returned no outcome.
    pub fn of(outcome: Result<Outcome, Self>) -> Result<Outcome, Self> {
        match outcome? {
            Outcome::Reject(failure) => Err(Self::reject(failure)),
            Outcome::Retry(later) => Err(Self::retry(later)),
            outcome @ (Outcome::Done(_) | Outcome::Skipped(_)) => Ok(outcome),
        }
    }

    /// The plugin requested a retry.
    pub fn retry(RetryLater { failure, after_ms }: RetryLater) -> Self {
        let leads_to = after_ms.map_or(LeadsTo::Retry, LeadsTo::Wait);
        Self::from_plugin(REQUESTED_RETRY, failure, leads_to)
    }

    /// Whether the plugin requested a retry, as opposed to a trap, a limit or an end by the host.
    pub fn is_requested_retry(&self) -> bool {
        self.exception == REQUESTED_RETRY
    }

    /// The plugin rejected the message.
    pub fn reject(failure: Failure) -> Self {
        Self::from_plugin("consumer.plugin.Reject", failure, LeadsTo::Reject)
    }

    /// The message follows a dead letter with the same key, and the key is held.
    pub fn follows_dead_letter() -> Self {
        let detail = "an earlier message with the same key is a dead letter, and the key is held";
        Self::own("consumer.plugin.Held", "follows-dead-letter", detail)
    }

    /// An operator has given the message up while it waited for a retry.
    pub fn given_up(detail: &str) -> Self {
        Self::own("consumer.plugin.GivenUp", "given-up", detail)
    }

    /// The call exceeded a limit.
    pub(super) fn exceeded(limit: Exceeded, call: &Call) -> Self {
        let cause = Self::own(limit.exception(), limit.code(), &limit.detail(&call.context.grants.limits));
        cause.with_output(call)
    }

    /// This process was short of what the call needed.
    pub(super) fn shortage(shortage: Shortage) -> Self {
        let cause = Self::own("consumer.plugin.Shortage", "shortage", shortage.detail());
        Self { leads_to: LeadsTo::Wait(INTERRUPTED_WAIT), ..cause }
    }

    /// The number of outcomes is not 1, the number of messages.
    pub(super) fn outcomes(count: usize) -> Self {
        let detail = format!("{count} outcomes for 1 message");
        Self::own("consumer.plugin.Outcome", "wrong-outcome-count", &detail)
    }

    /// The error of a call without an outcome.
    pub(super) fn from_error(error: &wasmtime::Error, call: &Call) -> Self {
        if let Some(shortage) = call.shortage() {
            return Self::shortage(shortage);
        }
        let memory = call.ran_out_of_memory().then_some(Exceeded::Memory);
        let cause = if let Some(limit) = call.exceeded().or(memory).or_else(|| wasmtime_limit(error)) {
            return Self::exceeded(limit, call).with_backtrace(error);
        } else if let Some(end) = error.downcast_ref::<CallEnd>() {
            return Self::of_end(end, call);
        } else if let Some(interrupted) = error.downcast_ref() {
            return Self::interrupted(interrupted);
        } else if let Some(I32Exit(status)) = error.downcast_ref() {
            let detail = format!("the plugin exited with status {status}");
            Self::own("consumer.plugin.Exit", "exit", &detail)
        } else {
            match error.downcast_ref::<Trap>() {
                Some(Trap::UnreachableCodeReached)
                    if let Some(exception) = call.context.output.exception() =>
                {
                    return Self::uncaught(exception, error);
                }
                Some(Trap::StackOverflow) => {
                    Self::own("consumer.plugin.StackOverflow", "stack-overflow", "call stack exhausted")
                }
                Some(trap) => Self::own("consumer.plugin.Trap", "trap", &trap.to_string()),
                None => Self::own("consumer.plugin.Trap", "trap", &error.root_cause().to_string()),
            }
        };
        cause.with_output(call).with_backtrace(error)
    }

    /// An exception or a panic ended the call. The frames of an interpreter would say nothing about the plugin.
    fn uncaught(exception: Exception, error: &wasmtime::Error) -> Self {
        let Exception { text, stack, is_compiled } = exception;
        let cause = Self::own("consumer.plugin.Trap", "trap", &text);
        let frames = if is_compiled { cause.clone().with_backtrace(error).backtrace } else { String::new() };
        let backtrace = [stack, frames].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        Self { detail: cut(text, MAX_DETAIL), backtrace: cut(backtrace.join("\n"), MAX_BACKTRACE), ..cause }
    }

    /// The host ended the call.
    pub(super) fn of_end(end: &CallEnd, call: &Call) -> Self {
        match end {
            CallEnd::Exceeded(limit) => Self::exceeded(*limit, call),
            CallEnd::Effect(interrupted) => Self::interrupted(interrupted),
            CallEnd::Closing => Self::closing(),
        }
    }

    /// The partition is being closed, or the plugin is paused, and nothing has begun.
    pub(super) fn closing() -> Self {
        let cause = Self::own("consumer.plugin.Closing", "closing", &CallEnd::Closing.to_string());
        Self { leads_to: LeadsTo::Nothing, ..cause }
    }

    fn interrupted(interrupted: &Interrupted) -> Self {
        let (code, leads_to) = match interrupted {
            Interrupted::Unknown => ("unknown-effect", LeadsTo::Reject),
            Interrupted::Unavailable(_) => ("effect-interrupted", LeadsTo::Wait(INTERRUPTED_WAIT)),
        };
        Self { leads_to, ..Self::own("consumer.plugin.Effect", code, &interrupted.to_string()) }
    }

    /// Appends the guest's last lines to the detail, because they often explain the failure.
    fn with_output(mut self, call: &Call) -> Self {
        let lines = call.context.output.last_errors();
        if !lines.is_empty() {
            self.detail = cut(format!("{}: {lines}", self.detail), MAX_DETAIL);
        }
        self
    }

    fn with_backtrace(mut self, error: &wasmtime::Error) -> Self {
        if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
            self.backtrace = cut(backtrace.to_string(), MAX_BACKTRACE);
        }
        self
    }

    fn from_plugin(exception: &'static str, failure: Failure, leads_to: LeadsTo) -> Self {
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

/// A limit that wasmtime enforces. Two of them have no type, only a text. With a backtrace, the guest was in a host
/// call; without one, it was returning its outcome.
fn wasmtime_limit(error: &wasmtime::Error) -> Option<Exceeded> {
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
    fn code_and_detail_of_a_plugin_are_cut() {
        let failure = Failure { code: "가".repeat(100), detail: "x".repeat(10_000) };
        let cause = Cause::retry(RetryLater { failure, after_ms: None });
        assert_eq!((cause.code.len(), cause.detail.len()), (63, MAX_DETAIL));
        assert_eq!(Cause::reject(Failure { code: String::new(), detail: String::new() }).code, "unspecified");
    }
}
