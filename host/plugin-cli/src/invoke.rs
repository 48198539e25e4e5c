//! `host plugin invoke`.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Read};
use std::iter;
use std::path::{Path, PathBuf};

use base::error::UserError;
use consumer::dry_run::DryRun;
use desk_cli::output::{self, note, print};
use sandbox::capabilities::http::{Canned, Responses};
use sandbox::capture::Answers;

use crate::args::{Format, PluginArgs};
use crate::message::messages;
use crate::report::Report;

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
    /// The plugin.
    pub plugin: PluginArgs,
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
    answers.insert(Responses::from_iter(http_response));
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
