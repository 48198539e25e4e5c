//! `host dlt try`.

use std::path::PathBuf;
use std::time::Duration;

use base::error::UserError;
use base::text::counted;
use desk_api::{DeadLetterState, Filter, Page, Trial, TrialResult, TrialState, TrialVerdict, WASM};
use sandbox::capture;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::client::Client;
use super::follow::progress_bar;
use super::format::{fitted, short, suffix};
use super::select::Conditions;
use crate::output::{self, Format, OutputArgs, escaped, note};

/// Poll interval.
const INTERVAL: Duration = Duration::from_millis(200);

/// Arguments of `host dlt try`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Component file of the new build
    #[arg(long, value_name = "FILE")]
    plugin: PathBuf,
    #[command(flatten)]
    conditions: Conditions,
    /// Only dead letters of this plugin: name@version, or name for all versions
    #[arg(long, value_name = "NAME")]
    of_plugin: Option<String>,
    /// Only dead letters in this state [default: open]
    #[arg(long, value_enum, value_name = "STATE", hide_default_value = true)]
    state: Option<DeadLetterState>,
    /// Number of dead letters of each verdict to show with their effects and log
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(..=20))]
    show: u8,
    #[command(flatten)]
    output: OutputArgs,
}

/// Tries a build on dead letters.
///
/// # Errors
/// The build does not run on the host (exit code 2), or some dead letters still fail (1).
pub async fn run(client: &Client, args: Args) -> Result<(), UserError> {
    let filter = Filter { state: args.state, ..args.conditions.filter(args.of_plugin)? };
    let build = tokio::fs::read(&args.plugin).await.map_err(|error| {
        UserError::usage(format!("cannot read {}: {error}", args.plugin.display()))
            .help("specify the new build: --plugin FILE")
    })?;
    let trial: Trial = client.post_bytes("/trials", &filter.query_pairs(), WASM, build).await?;
    let trial = follow(client, trial).await?;
    let passed = results(client, &trial, TrialVerdict::Passed, args.show).await?;
    let undecided = results(client, &trial, TrialVerdict::Undecided, args.show).await?;
    let failed = results(client, &trial, TrialVerdict::Failed, args.show).await?;
    match args.output.format() {
        Format::Json => {
            output::print_json(
                &json!({ "trial": trial, "passed": passed, "undecided": undecided, "failed": failed }),
            )?;
        }
        Format::Table => print(&trial, &[passed, undecided, failed].concat())?,
    }
    result(&trial)
}

async fn results(
    client: &Client,
    trial: &Trial,
    verdict: TrialVerdict,
    limit: u8,
) -> Result<Vec<TrialResult>, UserError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let query = [("verdict", verdict.as_str().to_owned()), ("limit", limit.to_string())];
    let page: Page<TrialResult> = client.get(&format!("/trials/{}/dead-letters", trial.id), &query).await?;
    Ok(page.items)
}

/// Waits until the trial ends. Ctrl-C cancels it.
async fn follow(client: &Client, mut trial: Trial) -> Result<Trial, UserError> {
    let mut interrupts: Signal = signal(SignalKind::interrupt())
        .map_err(|error| UserError::unavailable(format!("cannot listen for signals: {error}")))?;
    let bar = progress_bar(trial.dead_letters);
    while trial.state == TrialState::Running {
        tokio::select! {
            _ = interrupts.recv() => {
                bar.finish_and_clear();
                let _: Trial = client.post(&format!("/trials/{}/cancel", trial.id), &json!({})).await?;
                return Err(UserError::unavailable("trial cancelled; nothing was sent or changed"));
            }
            () = tokio::time::sleep(INTERVAL) => {}
        }
        trial = client.get(&format!("/trials/{}", trial.id), &[]).await?;
        bar.set_position(trial.tried);
        bar.set_message(format!("{} failed", trial.failed()));
    }
    bar.finish_and_clear();
    Ok(trial)
}

fn print(trial: &Trial, examples: &[TrialResult]) -> Result<(), UserError> {
    if !trial.has_settings {
        note(format!(
            "{} ran without settings: the host runs no plugin with this name",
            escaped(&trial.plugin)
        ));
    }
    if !trial.withheld.is_empty() {
        note(format!(
            "{} ran with a placeholder for, or without: {} (only the build that the host runs gets them)",
            escaped(&trial.plugin),
            escaped(&trial.withheld.join(", "))
        ));
    }
    output::print(verdict(trial))?;
    if !trial.failures.is_empty() {
        let rows = trial.failures.iter().map(|failure| {
            [failure.dead_letters.to_string(), escaped(&failure.code), escaped(&failure.detail)]
        });
        output::print(format!("\n{}", fitted([">FAILED", "CODE", "FIRST DETAIL"], rows.collect())))?;
    }
    if !trial.effects.is_empty() {
        let rows = trial.effects.iter().map(|effect| [effect.count.to_string(), escaped(&effect.effect)]);
        output::print(format!("\n{}", fitted([">COUNT", "EFFECT (NOT SENT)"], rows.collect())))?;
    }
    for result in examples {
        output::print(format!("\n{}", details(result)))?;
    }
    if trial.passed + trial.undecided > 0 {
        note(format!("to replay what did not fail: host dlt replay --trial {}", short(&trial.id)));
    }
    Ok(())
}

/// The result as a sentence.
fn verdict(trial: &Trial) -> String {
    let failures: Vec<String> = match &trial.failures[..] {
        [failure] => vec![escaped(&failure.code)],
        failures => {
            let count = failures.iter().map(|failure| (failure.dead_letters, escaped(&failure.code)));
            count.map(|(count, code)| format!("{count} {code}")).collect()
        }
    };
    let failed = trial.failed();
    let mut text = format!("{} of {} passed", trial.passed, trial.dead_letters);
    if trial.undecided > 0 {
        text += &format!("; {} would send, and the destination decides", trial.undecided);
    }
    if failed > 0 {
        text += &format!("; {failed} failed: {}", failures.join(", "));
    }
    if trial.skipped > 0 {
        text += &format!("; {} skipped: the value was cut, or the dead letter was deleted", trial.skipped);
    }
    text
}

fn details(result: &TrialResult) -> String {
    let outcome = match result.verdict {
        TrialVerdict::Passed => "passed".to_owned(),
        TrialVerdict::Undecided => "would send".to_owned(),
        TrialVerdict::Failed => format!("failed {}", escaped(&result.code)),
    };
    let mut lines = vec![format!("{} {outcome}{}", short(&result.dead_letter), suffix(": ", &result.detail))];
    lines.extend(result.log.iter().map(|line| format!("  log       {}", escaped(line))));
    for effect in &result.effects {
        let mut label = "effect";
        for line in capture::lines(effect) {
            lines.push(format!("  {label:<10}{line}"));
            label = "";
        }
    }
    lines.join("\n")
}

fn result(trial: &Trial) -> Result<(), UserError> {
    match trial.state {
        TrialState::Done if trial.failed() + trial.skipped == 0 => Ok(()),
        TrialState::Done => {
            let failed = counted(trial.failed() + trial.skipped, "dead letter");
            Err(UserError::unavailable(format!("{failed} did not pass")))
        }
        state => {
            let reason = suffix(": ", &trial.state_reason);
            Err(UserError::unavailable(format!("the trial is {}{reason}", state.as_str())))
        }
    }
}

#[cfg(test)]
mod tests {
    use desk_api::TrialFailure;

    use super::*;

    #[test]
    fn the_verdict_is_a_sentence() {
        let failure = |code: &str, dead_letters| TrialFailure {
            code: code.to_owned(),
            dead_letters,
            detail: "detail".to_owned(),
        };
        let mut trial = Trial { dead_letters: 430, tried: 430, passed: 430, ..Trial::default() };
        assert_eq!(verdict(&trial), "430 of 430 passed");
        (trial.passed, trial.undecided) = (20, 410);
        assert_eq!(verdict(&trial), "20 of 430 passed; 410 would send, and the destination decides");
        trial.undecided = 0;
        (trial.passed, trial.failures) = (412, vec![failure("bad-address", 18)]);
        assert_eq!(verdict(&trial), "412 of 430 passed; 18 failed: bad-address");
        (trial.failures, trial.skipped) = (vec![failure("bad-address", 12), failure("no-key", 4)], 2);
        assert_eq!(
            verdict(&trial),
            "412 of 430 passed; 16 failed: 12 bad-address, 4 no-key; 2 skipped: the value was cut, or the dead \
             letter was deleted"
        );
    }

    #[test]
    fn effects_of_unknown_kinds_are_shown_as_json() {
        let effect = json!({ "kind": "fax", "to": "\u{1b}" });
        assert_eq!(capture::lines(&effect), ["{\"kind\":\"fax\",\"to\":\"\\u001b\"}"]);
    }
}
