//! `host plugin invoke`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Read};
use std::iter;
use std::path::{Path, PathBuf};

use base::error::UserError;
use bytesize::ByteSize;
use consumer::dry_run::{DryRun, Input, Run};
use contract::Outcome;
use sandbox::capabilities::http::Canned;
use sandbox::capture::{Answers, Captured, Line};
use sandbox::cause::Cause;
use serde::Serialize;

use super::message::messages;
use super::next::Next;
use super::{Format, PluginArgs};
use desk_cli::output::{self, escaped, note, print};

/// Arguments of `host plugin invoke`.
#[derive(Debug, clap::Args)]
#[command(mut_args(|arg| match arg.get_id().as_str() {
    "bootstrap_servers" | "properties" | "store" => arg.hide(true),
    _ => arg,
}))]
pub struct Args {
    /// File with messages as JSON objects {"key", "value", "headers", …}, in the format of
    /// `host consume -o json`; - for standard input
    #[arg(short, long, value_name = "FILE")]
    message: PathBuf,
    /// Response to each HTTP request, such as 429 or 200:{"id":1} [default: 200:{}]
    #[arg(long, value_name = "STATUS[:BODY]")]
    http_response: Option<Canned>,
    /// Output format: text, or a JSON object per line
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    pub(super) plugin: PluginArgs,
}

/// Calls the plugin with each message, and prints the outcomes.
///
/// # Errors
/// An argument is invalid (exit code 2), or a message failed (1).
pub async fn run(args: Args) -> Result<(), UserError> {
    let Args { message, http_response, output, plugin } = args;
    let run = plugin.run_args();
    let settings = run.settings_of(0)?;
    let path = run.plugins.first().map_or(Path::new(""), PathBuf::as_path);
    let engines = consumer::load::engines(iter::once(settings))?;
    let mut answers = Answers::new();
    answers.insert(http_response.unwrap_or_default());
    let dry = DryRun::load(path, settings, &engines, answers).await?;
    let plugin = dry.plugin();
    let granted = plugin.wants.iter().filter(|capability| plugin.grants.of(**capability).is_some());
    for warning in granted.filter_map(|capability| capability.warning(true, &run)) {
        note(format_args!("outside of a dry run: {warning}"));
    }
    let (source, place) = open(&message)?;
    let (mut all, mut failed) = (0_u64, 0_u64);
    for input in messages(BufReader::new(source), &place, dry.subscription()) {
        let input = input?;
        let result = Report::of(&dry, &input).await;
        all += 1;
        failed += u64::from(result.outcome.is_failure());
        match output {
            Format::Text => print(result.text().trim_end())?,
            Format::Json => print(output::json(serde_json::to_string(&result))?)?,
        }
    }
    match (all, failed) {
        (0, _) => Err(UserError::usage(format!("{place} contains no message"))
            .help("add a message, such as {\"value\": \"text\"}")),
        (_, 0) => Ok(()),
        (1, _) => Err(UserError::unavailable("the message failed")),
        _ => Err(UserError::unavailable(format!("{failed} of {all} messages failed"))),
    }
}

fn open(path: &Path) -> Result<(Box<dyn Read>, String), UserError> {
    if path == Path::new("-") {
        if io::stdin().is_terminal() {
            note("each line is a message: a JSON object such as {\"value\": \"text\"}; Ctrl-D ends");
        }
        return Ok((Box::new(io::stdin()), "standard input".to_owned()));
    }
    let place = path.display().to_string();
    match File::open(path) {
        Ok(file) => Ok((Box::new(file), place)),
        Err(error) => Err(UserError::usage(format!("cannot read {place}: {error}"))
            .help("specify a file with messages: --message FILE, or - for standard input")),
    }
}

/// The result of one message.
#[derive(Serialize)]
struct Report {
    id: String,
    topic: String,
    partition: i32,
    offset: i64,
    attempt: u32,
    #[serde(flatten)]
    outcome: Shown,
    next: Next,
    effects: Vec<Captured>,
    /// The number of effects beyond the maximum size.
    effects_left_out: usize,
    log: Vec<Line>,
    time_ms: f64,
    memory_bytes: usize,
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
enum Shown {
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
struct Failed {
    code: String,
    detail: String,
    exception: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    backtrace: String,
}

impl Report {
    async fn of(dry: &DryRun, input: &Input) -> Self {
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

    fn text(&self) -> String {
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
    fn is_failure(&self) -> bool {
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
