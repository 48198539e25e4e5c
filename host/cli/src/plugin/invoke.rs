//! `host plugin invoke`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Read};
use std::iter;
use std::path::{Path, PathBuf};

use base::error::UserError;
use base::text;
use bytesize::ByteSize;
use consumer::dry_run::{DryRun, Input, Run};
use contract::Outcome;
use sandbox::capture::{Canned, Captured, Line};
use sandbox::cause::Cause;
use sandbox::wording;
use serde::Serialize;

use super::message::messages;
use super::next::Next;
use super::{Format, Here};
use crate::output::{self, note, print};

/// Arguments of `host plugin invoke`.
#[derive(Debug, clap::Args)]
#[command(mut_args(|arg| match arg.get_id().as_str() {
    "bootstrap_servers" | "properties" | "store" => arg.hide(true),
    _ => arg,
}))]
pub struct Args {
    /// JSON with one message, or more behind each other: {"key", "value", "headers", …}, as
    /// `host consume -o json` prints them; - is standard input
    #[arg(short, long, value_name = "FILE")]
    message: PathBuf,
    /// What each of its HTTP requests is answered with, e.g. 429 or 200:{"id":1}; 200:{} unless given
    #[arg(long, value_name = "STATUS[:BODY]")]
    http_response: Option<Canned>,
    /// How to print what comes of it; as JSON an object a line
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    pub(super) here: Here,
}

/// Calls the plugin with each message and prints what comes of it.
///
/// # Errors
/// What was given is wrong (exit code 2), or a message failed (1).
pub async fn run(args: Args) -> Result<(), UserError> {
    let Args { message, http_response, output, here } = args;
    let run = here.run_args();
    let settings = run.settings_of(0)?;
    let path = run.plugins.first().map_or(Path::new(""), PathBuf::as_path);
    let engines = consumer::load::engines(iter::once(settings))?;
    let dry = DryRun::load(path, settings, &engines, http_response.unwrap_or_default()).await?;
    let plugin = dry.plugin();
    if plugin.wants_mail && plugin.grants.mail.is_some() && run.mail_url.is_none() {
        note("there is no --mail-url: outside of a dry run its e-mail is only logged");
    }
    let (source, place) = open(&message)?;
    let (mut all, mut failed) = (0_u64, 0_u64);
    for input in messages(BufReader::new(source), &place, dry.subscription()) {
        let input = input?;
        let result = Tried::of(&dry, &input).await;
        all += 1;
        failed += u64::from(result.told.is_failure());
        match output {
            Format::Text => print(result.text().trim_end())?,
            Format::Json => print(output::json(serde_json::to_string(&result))?)?,
        }
    }
    match (all, failed) {
        (0, _) => Err(UserError::usage(format!("{place} holds no message"))
            .help("give it one, such as {\"value\": \"text\"}")),
        (_, 0) => Ok(()),
        (1, _) => Err(UserError::unavailable("the message failed")),
        _ => Err(UserError::unavailable(format!("{failed} of {all} messages failed"))),
    }
}

fn open(path: &Path) -> Result<(Box<dyn Read>, String), UserError> {
    if path == Path::new("-") {
        if io::stdin().is_terminal() {
            note("a line is a message, a JSON object such as {\"value\": \"text\"}; Ctrl-D ends");
        }
        return Ok((Box::new(io::stdin()), "standard input".to_owned()));
    }
    let place = path.display().to_string();
    match File::open(path) {
        Ok(file) => Ok((Box::new(file), place)),
        Err(error) => Err(UserError::usage(format!("cannot read {place}: {error}"))
            .help("name a file with a message: --message FILE, or - for standard input")),
    }
}

/// What came of a message.
#[derive(Serialize)]
struct Tried {
    id: String,
    topic: String,
    partition: i32,
    offset: i64,
    attempt: u32,
    #[serde(flatten)]
    told: Told,
    next: Next,
    effects: Vec<Captured>,
    /// Effects that there was no room for.
    effects_left_out: usize,
    log: Vec<Line>,
    time_ms: f64,
    memory_bytes: usize,
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
enum Told {
    Done {
        receipt: String,
    },
    Skipped {
        reason: String,
    },
    Retry(Failed),
    Reject(Failed),
    /// It gave no outcome.
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

impl Tried {
    async fn of(dry: &DryRun, input: &Input) -> Self {
        let Run { outcome, effects, left_out, log, took, memory } = dry.call(input).await;
        let failed: fn(Failed) -> Told = match &outcome {
            Ok(Outcome::Retry(_)) => Told::Retry,
            Ok(Outcome::Reject(_)) => Told::Reject,
            _ => Told::Failure,
        };
        let outcome = Cause::of(outcome);
        let next = Next::after(dry.subscription(), input.attempt, outcome.as_ref().err());
        let told = match outcome {
            Ok(Outcome::Skipped(reason)) => Told::Skipped { reason },
            Ok(Outcome::Done(receipt)) => Told::Done { receipt },
            // `Cause::of` takes what failed for an error.
            Ok(Outcome::Retry(_) | Outcome::Reject(_)) => Told::Skipped { reason: String::new() },
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
            told,
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
            line(&self.id),
            line(&self.topic),
            self.partition,
            self.offset,
            self.attempt
        );
        let mut say = |what: &str, line: &str| _ = writeln!(text, "  {what:<9}{line}");
        say("outcome", &self.told.text());
        if let Told::Retry(failed) | Told::Reject(failed) | Told::Failure(failed) = &self.told {
            failed.backtrace.lines().for_each(|trace| say("", &line(trace)));
        }
        say("next", &self.next.to_string());
        for Line { level, text } in &self.log {
            say("log", &format!("{level:<5} {text}"));
        }
        for effect in &self.effects {
            let mut what = "captured";
            for line in wording::lines(effect) {
                say(what, &line);
                what = "";
            }
        }
        if self.effects_left_out > 0 {
            say("captured", &format!("{} more, too large to show", self.effects_left_out));
        }
        let memory = ByteSize::b(self.memory_bytes as u64);
        say("used", &format!("{:.2} ms, {memory} of memory", self.time_ms));
        text
    }
}

impl Told {
    fn is_failure(&self) -> bool {
        !matches!(self, Self::Done { .. } | Self::Skipped { .. })
    }

    fn text(&self) -> String {
        let (what, text) = match self {
            Self::Done { receipt } => ("done", line(receipt)),
            Self::Skipped { reason } => ("skipped", line(reason)),
            Self::Retry(failed) => ("retry", failed.text()),
            Self::Reject(failed) => ("reject", failed.text()),
            Self::Failure(failed) => ("failure", format!("{} ({})", failed.text(), failed.exception)),
        };
        if text.is_empty() { what.to_owned() } else { format!("{what}: {text}") }
    }
}

impl Failed {
    fn text(&self) -> String {
        [&self.code, &self.detail].map(|text| line(text)).join(": ")
    }
}

fn line(text: &str) -> String {
    text::line(text.as_bytes())
}
