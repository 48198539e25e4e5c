//! `host plugin test`.

use std::path::{Path, PathBuf};

use base::error::UserError;
use desk_cli::output::{self, escaped, is_coloured, note, print};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::args::{DryArgs, Format};
use crate::case::{Case, Expected, SCHEMA};
use crate::cases::{self, Cases};
use crate::expectation::{difference, lasting};
use crate::project::Project;
use crate::report::Report;

/// Arguments of `host plugin test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File of the plugin [default: what the project in this directory has built]
    #[arg(value_name = "FILE.wasm")]
    file: Option<PathBuf>,
    /// Cases, or directories of them [default: cases]
    #[arg(value_name = "CASES")]
    cases: Vec<PathBuf>,
    /// Write what is seen into the cases as what is expected
    #[arg(long)]
    update: bool,
    /// Print the JSON Schema of a case
    #[arg(long)]
    schema: bool,
    /// Output format: text, or a JSON object per line
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// The plugin's configuration.
    #[command(flatten)]
    pub dry: DryArgs,
}

/// Runs the cases.
///
/// # Errors
/// A case failed (exit code 1), or the plugin, a case or an argument is invalid (2).
pub async fn run(args: Args) -> Result<(), UserError> {
    if args.schema {
        return print(SCHEMA.trim_end());
    }
    let (file, places) = files(args.file, args.cases)?;
    let read = cases::read(&places)?;
    if read.is_empty() {
        let place = places.first().map_or(Path::new(cases::DIRECTORY), PathBuf::as_path).display();
        return Err(UserError::usage(format!("{place} has no cases: no file *.json"))
            .help("write one: {\"message\": {\"value\": \"…\"}}, and let --update write what is expected"));
    }
    if let Some(new) = read.iter().find(|case| case.content.expect.is_none() && !args.update) {
        let place = new.path.display();
        return Err(UserError::usage(format!("{place} says nothing of what is expected"))
            .help("write what is seen into it, and read it: host plugin test --update"));
    }
    let cases = Cases::load(&args.dry.run_args(file), &read).await?;
    let mut failed = 0;
    for (case, settings) in &cases.list {
        let result = Outcome::new(case, cases.run(case, settings.as_ref()).await?);
        if args.update {
            update(case, &result)?;
            continue;
        }
        failed += usize::from(!result.passed);
        match args.output {
            Format::Text => print(result.text().trim_end())?,
            Format::Json => print(output::json(serde_json::to_string(&result))?)?,
        }
    }
    match (failed, read.len()) {
        (0, 1) => note("1 case passed"),
        (0, all) if !args.update => note(format_args!("{all} cases passed")),
        (0, _) => {}
        (_, all) => return Err(UserError::unavailable(format!("{failed} of {all} cases failed"))),
    }
    Ok(())
}

/// The component and the cases. A first argument that is no component is a case.
fn files(file: Option<PathBuf>, mut cases: Vec<PathBuf>) -> Result<(PathBuf, Vec<PathBuf>), UserError> {
    let is_component = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wasm");
    let file = match file {
        Some(file) if is_component(&file) => file,
        other => {
            cases.splice(0..0, other).for_each(drop);
            Project::find(Path::new("."), None)?.component()?
        }
    };
    if cases.is_empty() {
        cases.push(cases::DIRECTORY.into());
    }
    Ok((file, cases))
}

fn update(case: &Case, result: &Outcome) -> Result<(), UserError> {
    let place = case.path.display();
    let old = case.content.expect.as_ref();
    let new = Expected::updated(old, &result.result);
    if old == Some(&new) {
        return print(format_args!("same     {}", escaped(&place.to_string())));
    }
    std::fs::write(&case.path, case.with_expectation(&new)).map_err(|error| {
        UserError::unavailable(format!("cannot write {place}: {error}"))
            .help("make the file writable, and run it again")
    })?;
    print(format_args!("written  {}", escaped(&place.to_string())))
}

/// The result of one case.
#[derive(Serialize)]
pub struct Outcome {
    case: String,
    /// Whether the result is as expected; true for a case without an expectation.
    pub passed: bool,
    /// None if the case has no expectation.
    expected: Option<Map<String, Value>>,
    /// What the expectation names, as it was.
    seen: Map<String, Value>,
    /// The whole result, without what differs from call to call.
    pub result: Map<String, Value>,
    time_ms: f64,
    #[serde(skip)]
    report: Report,
}

impl Outcome {
    /// Compares a result with what the case expects.
    pub fn new(case: &Case, report: Report) -> Self {
        let result = lasting(&report);
        let expected = case.content.expect.as_ref();
        let seen = expected.map(|expected| expected.seen(&result)).unwrap_or_default();
        Self {
            case: case.path.display().to_string(),
            passed: expected.is_none_or(|expected| expected.0 == seen),
            expected: expected.map(|expected| expected.0.clone()),
            seen,
            result,
            time_ms: report.time_ms,
            report,
        }
    }

    /// A line, with the difference and the whole result if the case failed.
    pub fn text(&self) -> String {
        let mut lines = vec![self.line()];
        if !self.passed {
            lines.extend(self.difference());
            lines.extend(self.details());
        }
        lines.join("\n")
    }

    /// Whether it passed, its file and its time.
    pub fn line(&self) -> String {
        let (word, colour) = match (self.passed, &self.expected) {
            (true, None) => ("ran ", ""),
            (true, Some(_)) => ("ok  ", "\u{1b}[32m"),
            (false, _) => ("FAIL", "\u{1b}[31m"),
        };
        let word = match is_coloured() && !colour.is_empty() {
            true => format!("{colour}{word}\u{1b}[0m"),
            false => word.to_owned(),
        };
        format!("{word}  {}  {:.1} ms", escaped(&self.case), self.time_ms)
    }

    /// How what was seen differs from what was expected.
    pub fn difference(&self) -> Vec<String> {
        let Some(expected) = self.expected.as_ref().filter(|_| !self.passed) else { return Vec::new() };
        let lines = difference(expected, &self.seen);
        let lines = lines.into_iter().map(|line| format!("      {line}"));
        ["      - expected, + seen".to_owned()].into_iter().chain(lines).collect()
    }

    /// The whole result: outcome, log, effects.
    pub fn details(&self) -> Vec<String> {
        self.report.text().lines().map(|line| format!("    {line}")).collect()
    }

    /// The file of the case.
    pub fn case(&self) -> &str {
        &self.case
    }
}
