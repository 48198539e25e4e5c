//! `host dlt replays`.

use base::error::UserError;
use base::text;
use clap::Subcommand;
use desk_api::{Page, Replay, ReplayChange, ReplayItem, ReplayItemState, ReplayTarget};

use super::client::{Client, ListArgs, check_id};
use super::follow;
use super::format::{age, fitted, item_fate, replay_fate, short, suffix};
use super::select::Target;
use crate::output::{self, Format, OutputArgs, escaped, note};

/// Dead letters that are listed with a replay.
const MAX_LISTED: u64 = 20;

/// Arguments of `host dlt replays`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show a replay
    Show(Show),
    /// Follow a replay until it ends
    Follow(Show),
    /// Pause a replay
    Pause(Target),
    /// Resume a paused or stopped replay
    Resume(Target),
    /// Cancel a replay; dead letters that were not sent stay open
    Cancel(Target),
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Id of the replay, or a unique prefix of it
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Lists replays, or shows, follows or changes one.
pub async fn run(client: &Client, args: Args) -> Result<(), UserError> {
    match args.command {
        None => client.print_list(("/replays", &[]), args.list, "no replays", table).await,
        Some(Command::Show(show)) => {
            let replay = fetch(client, &show.id).await?;
            show.output.print(&replay, || details(&replay))?;
            match show.output.format() {
                Format::Json => Ok(()),
                Format::Table => failed(client, &replay).await,
            }
        }
        Some(Command::Follow(Show { id, output })) => {
            follow::run(client, fetch(client, &id).await?, output.format()).await
        }
        Some(Command::Pause(target)) => change(client, target, "pause").await,
        Some(Command::Resume(target)) => change(client, target, "resume").await,
        Some(Command::Cancel(target)) => change(client, target, "cancel").await,
    }
}

fn table(replays: &[Replay]) -> String {
    let rows = replays.iter().map(|replay| {
        [
            short(&replay.id),
            replay_fate(replay),
            age(replay.created_ms),
            replay.dead_letters.to_string(),
            replay.done.to_string(),
            replay.failed.to_string(),
            replay.waiting.to_string(),
            escaped(&replay.actor),
            escaped(&replay.reason),
        ]
    });
    let headings =
        ["ID", "STATE", ">AGE", ">DEAD LETTERS", ">HANDLED", ">FAILED AGAIN", ">WAITING", "USER", "REASON"];
    fitted(headings, rows.collect())
}

fn details(replay: &Replay) -> String {
    let Replay { plan, waiting, sent, done, failed, unknown, skipped, .. } = replay;
    let target = match plan.target {
        ReplayTarget::Source => "the original topic",
        ReplayTarget::Retry => "the first retry topic",
    };
    let rate = plan.rate.map_or_else(|| "no rate limit".to_owned(), |rate| format!("{rate} per second"));
    let ramp: Vec<String> = plan.ramp.iter().map(ToString::to_string).collect();
    let ramp =
        if ramp.is_empty() { "a single step".to_owned() } else { format!("steps of {}", ramp.join(", ")) };
    let state_reason = suffix(": ", &replay.state_reason);
    let mut lines = vec![
        format!("id            {}", escaped(&replay.id)),
        format!(
            "state         {} since {}{state_reason}",
            replay_fate(replay),
            text::local(replay.state_since_ms)
        ),
        format!("created       {} by {}", text::local(replay.created_ms), escaped(&replay.actor)),
    ];
    if !replay.reason.is_empty() {
        lines.push(format!("reason        {}", escaped(&replay.reason)));
    }
    lines.extend([
        format!("to            {target}, {rate}, {ramp}, stops above {} % failures", plan.limit_percent),
        format!("dead letters  {}", replay.dead_letters),
        format!(
            "              {waiting} waiting, {sent} sent, {done} handled, {failed} failed again, {unknown} unknown, \
             {skipped} skipped"
        ),
        format!("steps         {} finished, with {} dead letters", replay.steps, replay.stepped),
    ]);
    lines.join("\n")
}

/// Lists the dead letters that failed again, and what became of them.
async fn failed(client: &Client, replay: &Replay) -> Result<(), UserError> {
    if replay.failed == 0 {
        return Ok(());
    }
    let query = [("state", ReplayItemState::Failed.as_str().to_owned()), ("limit", MAX_LISTED.to_string())];
    let items: Page<ReplayItem> = client.get(&format!("/replays/{}/dead-letters", replay.id), &query).await?;
    let rows =
        items.items.iter().map(|item| [item.position.to_string(), short(&item.dead_letter), item_fate(item)]);
    output::print(format!("\n{}", fitted([">POSITION", "DEAD LETTER", "OUTCOME"], rows.collect())))?;
    if replay.failed > MAX_LISTED {
        note(format!("{} more failed; see -o json, or the console", replay.failed - MAX_LISTED));
    }
    Ok(())
}

async fn fetch(client: &Client, id: &str) -> Result<Replay, UserError> {
    client.get(&format!("/replays/{}", check_id(id, "host dlt replays")?), &[]).await
}

async fn change(client: &Client, target: Target, action: &str) -> Result<(), UserError> {
    let Target { id, reason, output } = target;
    let path = format!("/replays/{}/{action}", check_id(&id, "host dlt replays")?);
    let replay: Replay = client.post(&path, &ReplayChange { reason }).await?;
    output.report(&replay, || format!("replay {} is {}", short(&replay.id), replay.state.as_str()))
}
