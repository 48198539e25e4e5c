//! The result of a call, as text and as JSON.

use std::fmt::Write as _;

use bytesize::ByteSize;
use consumer::dry_run::{DryRun, Input, Run};
use contract::Outcome;
use desk_cli::output::escaped;
use sandbox::capture::{Captured, Line};
use sandbox::cause::Cause;
use serde::Serialize;

use crate::next::Next;

/// The result of one message.
#[derive(Serialize)]
pub struct Report {
    id: String,
    topic: String,
    partition: i32,
    offset: i64,
    attempt: u32,
    #[serde(flatten)]
    pub outcome: Shown,
    next: Next,
    effects: Vec<Captured>,
    /// The number of effects beyond the maximum size.
    effects_left_out: usize,
    log: Vec<Line>,
    pub time_ms: f64,
    memory_bytes: usize,
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Shown {
    Done {
        receipt: String,
    },
    Skipped {
        reason: String,
    },
    Retry(Failed),
    Reject(Failed),
    /// There is no outcome.
    Failure(Failed),
}

#[derive(Serialize)]
pub struct Failed {
    code: String,
    detail: String,
    exception: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    backtrace: String,
}

impl Report {
    /// Calls the plugin with a message.
    pub async fn of(dry: &DryRun, input: &Input) -> Self {
        let Run { outcome, effects, left_out, log, took, memory } = dry.call(input).await;
        let failed: fn(Failed) -> Shown = match &outcome {
            Ok(Outcome::Retry(_)) => Shown::Retry,
            Ok(Outcome::Reject(_)) => Shown::Reject,
            _ => Shown::Failure,
        };
        let outcome = Cause::of(outcome);
        let next = Next::after(dry.subscription(), input.attempt, outcome.as_ref().err());
        let outcome = match outcome {
            Ok(Outcome::Skipped(reason)) => Shown::Skipped { reason },
            Ok(Outcome::Done(receipt)) => Shown::Done { receipt },
            // `Cause::of` has converted these to errors.
            Ok(Outcome::Retry(_) | Outcome::Reject(_)) => Shown::Skipped { reason: String::new() },
            Err(Cause { exception, code, detail, backtrace, .. }) => {
                failed(Failed { code, detail, exception, backtrace })
            }
        };
        Self {
            id: input.id(),
            topic: input.topic.clone(),
            partition: input.partition,
            offset: input.offset,
            attempt: input.attempt,
            outcome,
            next,
            effects,
            effects_left_out: left_out,
            log,
            time_ms: took.as_secs_f64() * 1000.0,
            memory_bytes: memory,
        }
    }

    /// The result for people.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}  {} partition {} offset {}, attempt {}\n",
            escaped(&self.id),
            escaped(&self.topic),
            self.partition,
            self.offset,
            self.attempt
        );
        let mut add = |name: &str, line: &str| _ = writeln!(text, "  {name:<9}{line}");
        add("outcome", &self.outcome.text());
        if let Shown::Retry(failed) | Shown::Reject(failed) | Shown::Failure(failed) = &self.outcome {
            failed.backtrace.lines().for_each(|trace| add("", &escaped(trace)));
        }
        add("next", &self.next.to_string());
        for Line { level, text } in &self.log {
            add("log", &format!("{level:<5} {text}"));
        }
        for effect in &self.effects {
            for (number, line) in effect.lines().iter().enumerate() {
                add(if number == 0 { "captured" } else { "" }, line);
            }
        }
        if self.effects_left_out > 0 {
            add("captured", &format!("{} more, too large to show", self.effects_left_out));
        }
        let memory = ByteSize::b(self.memory_bytes as u64);
        add("used", &format!("{:.2} ms, {memory} of memory", self.time_ms));
        text
    }
}

impl Shown {
    /// Whether the message failed.
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Done { .. } | Self::Skipped { .. })
    }

    fn text(&self) -> String {
        let (name, text) = match self {
            Self::Done { receipt } => ("done", escaped(receipt)),
            Self::Skipped { reason } => ("skipped", escaped(reason)),
            Self::Retry(failed) => ("retry", failed.text()),
            Self::Reject(failed) => ("reject", failed.text()),
            Self::Failure(failed) => ("failure", format!("{} ({})", failed.text(), failed.exception)),
        };
        if text.is_empty() { name.to_owned() } else { format!("{name}: {text}") }
    }
}

impl Failed {
    fn text(&self) -> String {
        [&self.code, &self.detail].map(|text| escaped(text)).join(": ")
    }
}
