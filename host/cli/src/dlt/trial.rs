//! `host dlt try`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use base::error::UserError;
use base::text::counted;
use desk::trial::{Trial, TrialState, Tried};
use desk::{Filter, Page, State};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use server::api::WASM;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::client::Client;
use super::list::{escaped, fitted, short};
use super::select::{Conditions, query};
use crate::output::{self, Format, note};

/// How often the trial is looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// Arguments of `host dlt try`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The build: a component
    #[arg(long, value_name = "FILE")]
    plugin: PathBuf,
    #[command(flatten)]
    conditions: Conditions,
    /// Of this plugin: name@version, or the name alone
    #[arg(long, value_name = "NAME")]
    of_plugin: Option<String>,
    /// What has become of them [default: open]
    #[arg(long, value_enum, value_name = "STATE", hide_default_value = true)]
    state: Option<State>,
    /// Show what would have been sent for so many letters that pass, and as many that still fail
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(..=20))]
    show: u8,
    /// How to print what came of it
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Gives letters to a build in the sandbox and says which would now succeed.
///
/// # Errors
/// The build does not run there (exit code 2), or some letters still fail (1).
pub async fn run(client: &Client, args: Args) -> Result<(), UserError> {
    let filter = Filter { state: args.state, ..args.conditions.filter(args.of_plugin)? };
    let build = tokio::fs::read(&args.plugin).await.map_err(|error| {
        UserError::usage(format!("cannot read {}: {error}", args.plugin.display()))
            .help("name the new build: --plugin FILE")
    })?;
    let trial: Trial = client.send_bytes("/trials", &query(&filter), WASM, build).await?;
    let trial = follow(client, trial).await?;
    let letters = async |passes: bool, most: u8| {
        let query = [("passes", passes.to_string()), ("limit", most.max(1).to_string())];
        let page: Result<Page<Tried>, _> = client.get(&format!("/trials/{}/letters", trial.id), &query).await;
        page.map(|page| if most == 0 { Vec::new() } else { page.items })
    };
    let (pass, fail) = (letters(true, args.show).await?, letters(false, args.show).await?);
    match args.output {
        Format::Json => output::print_json(&json!({ "trial": trial, "passing": pass, "failing": fail }))?,
        Format::Table => tell(&trial, &pass, &fail)?,
    }
    ended(&trial)
}

/// Waits for its end. Ctrl-C ends it.
async fn follow(client: &Client, mut trial: Trial) -> Result<Trial, UserError> {
    let mut interrupts: Signal = signal(SignalKind::interrupt())
        .map_err(|error| UserError::unavailable(format!("cannot listen for signals: {error}")))?;
    let target =
        if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(trial.letters), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}") {
        bar.set_style(style);
    }
    while trial.state == TrialState::Running {
        tokio::select! {
            _ = interrupts.recv() => {
                bar.finish_and_clear();
                let _: Trial = client.post(&format!("/trials/{}/cancel", trial.id), &json!({})).await?;
                return Err(UserError::unavailable("cancelled; nothing was sent, and no letter has changed"));
            }
            () = tokio::time::sleep(INTERVAL) => {}
        }
        trial = client.get(&format!("/trials/{}", trial.id), &[]).await?;
        bar.set_position(trial.tried);
        bar.set_message(format!("{} would pass", trial.pass));
    }
    bar.finish_and_clear();
    Ok(trial)
}

fn tell(trial: &Trial, pass: &[Tried], fail: &[Tried]) -> Result<(), UserError> {
    if !trial.settings {
        note(format!(
            "{} has no settings: this host runs no plugin of that name, or without a configuration file",
            escaped(&trial.plugin)
        ));
    }
    output::print(verdict(trial))?;
    if !trial.still.is_empty() {
        let rows = trial.still.iter();
        let rows =
            rows.map(|still| [still.letters.to_string(), escaped(&still.code), escaped(&still.detail)]);
        output::print(format!("\n{}", fitted([">STILL", "CODE", "DETAIL OF THE FIRST"], rows.collect())))?;
    }
    if !trial.effects.is_empty() {
        let rows = trial.effects.iter().map(|sent| [sent.times.to_string(), escaped(&sent.what)]);
        output::print(format!("\n{}", fitted([">TIMES", "WOULD HAVE BEEN SENT"], rows.collect())))?;
    }
    for tried in pass.iter().chain(fail) {
        output::print(format!("\n{}", one(tried)))?;
    }
    if trial.pass > 0 {
        // Ids of the same minute begin alike.
        note(format!("send back those that pass: host dlt replay --trial {} --careful", escaped(&trial.id)));
    }
    Ok(())
}

/// The sentence of it all.
fn verdict(trial: &Trial) -> String {
    let still: Vec<String> = match &trial.still[..] {
        [one] => vec![escaped(&one.code)],
        some => some.iter().map(|still| format!("{} {}", still.letters, escaped(&still.code))).collect(),
    };
    let fails = trial.tried - trial.pass - trial.skipped;
    let mut text = format!("{} of {} would pass", trial.pass, trial.letters);
    if fails > 0 {
        text += &format!("; {fails} still: {}", still.join(", "));
    }
    if trial.skipped > 0 {
        text += &format!("; {} cannot be tried: their value was cut out, or they are gone", trial.skipped);
    }
    text
}

fn one(tried: &Tried) -> String {
    let what = if tried.passes { "passes".to_owned() } else { format!("still {}", escaped(&tried.code)) };
    let detail =
        if tried.detail.is_empty() { String::new() } else { format!(": {}", escaped(&tried.detail)) };
    let mut lines = vec![format!("{} {what}{detail}", short(&tried.letter))];
    lines.extend(tried.log.iter().map(|line| format!("  log       {}", escaped(line))));
    for effect in &tried.effects {
        let mut what = "would send";
        for line in effect.lines() {
            lines.push(format!("  {what:<10}{line}"));
            what = "";
        }
    }
    lines.join("\n")
}

fn ended(trial: &Trial) -> Result<(), UserError> {
    match trial.state {
        TrialState::Done if trial.pass == trial.letters => Ok(()),
        TrialState::Done => {
            let failed = counted(trial.letters - trial.pass, "letter");
            Err(UserError::unavailable(format!("not passed: {failed}")))
        }
        state => {
            let why = if trial.why.is_empty() { String::new() } else { format!(": {}", escaped(&trial.why)) };
            Err(UserError::unavailable(format!("the trial is {}{why}", state.as_str())))
        }
    }
}

#[cfg(test)]
mod tests {
    use desk::trial::Still;

    use super::*;

    #[test]
    fn the_verdict_is_a_sentence() {
        let still =
            |code: &str, letters| Still { code: code.to_owned(), letters, detail: "detail".to_owned() };
        let mut trial = Trial { letters: 430, tried: 430, pass: 430, ..Trial::default() };
        assert_eq!(verdict(&trial), "430 of 430 would pass");
        (trial.pass, trial.still) = (412, vec![still("bad-address", 18)]);
        assert_eq!(verdict(&trial), "412 of 430 would pass; 18 still: bad-address");
        (trial.still, trial.skipped) = (vec![still("bad-address", 12), still("no-key", 4)], 2);
        assert_eq!(
            verdict(&trial),
            "412 of 430 would pass; 16 still: 12 bad-address, 4 no-key; 2 cannot be tried: their value was cut \
             out, or they are gone"
        );
    }
}
