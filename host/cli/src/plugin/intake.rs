//! `host plugin list`, `show`, `pause` and `resume`: the plugins of a running host, through its HTTP API.

use base::error::UserError;
use base::text;
use desk_api::{ChangedIntake, Intake, IntakeChange, IntakeState, Overview, PluginDetails, PluginOverview};
use url::form_urlencoded;

use desk_cli::confirm;
use desk_cli::dlt::client::{ApiArgs, Client};
use desk_cli::dlt::format::{age, fitted, suffix};
use desk_cli::output::{OutputArgs, cell, escaped};

/// Arguments of `host plugin list`.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `host plugin show`.
#[derive(Debug, clap::Args)]
pub struct Show {
    #[command(flatten)]
    api: ApiArgs,
    /// Name of the plugin, without its version
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `host plugin pause`.
#[derive(Debug, clap::Args)]
pub struct Pause {
    #[command(flatten)]
    api: ApiArgs,
    /// Name of the plugin, without its version
    #[arg(value_name = "NAME")]
    name: String,
    /// Reason for the audit log; prompted for on a terminal
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `host plugin resume`.
#[derive(Debug, clap::Args)]
pub struct Resume {
    #[command(flatten)]
    api: ApiArgs,
    /// Name of the plugin, without its version
    #[arg(value_name = "NAME")]
    name: String,
    /// Reason for the audit log
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Lists plugins.
///
/// # Errors
/// The host does not answer.
pub async fn list(args: List) -> Result<(), UserError> {
    let Overview { plugins, .. } = Client::new(&args.api)?.get("/overview", &[]).await?;
    args.output.print(&plugins, || table(&plugins))
}

fn table(plugins: &[PluginOverview]) -> String {
    let rows = plugins.iter().map(|PluginOverview { name, intake, lag, retry_waiting, .. }| {
        let Intake { state, since_ms, actor, reason } = intake;
        [
            escaped(name),
            state.as_str().to_owned(),
            cell(since_ms.map(age)),
            cell(*lag),
            cell(*retry_waiting),
            cell(actor.as_deref().map(escaped)),
            cell(reason.as_deref().map(escaped)),
        ]
    });
    let headings = ["PLUGIN", "STATE", ">FOR", ">LAG", ">RETRY", "USER", "REASON"];
    fitted(headings, rows.collect())
}

/// Shows a plugin.
///
/// # Errors
/// The plugin is unknown, or the host does not answer.
pub async fn show(args: Show) -> Result<(), UserError> {
    let path = format!("/plugins/{}", in_path(&args.name));
    let plugin: PluginDetails = Client::new(&args.api)?.get(&path, &[]).await?;
    args.output.print(&plugin, || page(&plugin))
}

fn page(plugin: &PluginDetails) -> String {
    let PluginDetails { overview, grants, limits, not_reset, .. } = plugin;
    let mut lines = vec![
        ("state", overview.intake.state.as_str().to_owned()),
        ("sha256", plugin.digest.clone()),
        ("contract", plugin.contract.clone()),
        ("topic", overview.topic.clone()),
        ("group", overview.group.clone()),
        ("retry topics", plugin.retry_topics.join(", ")),
        ("dead letters", plugin.dead_letter_topic.clone()),
        ("ordering", plugin.ordering.clone()),
        (
            "isolation",
            format!(
                "{}{}",
                plugin.isolation,
                suffix("; instances are new: ", not_reset.as_deref().unwrap_or_default())
            ),
        ),
        ("calls", format!("{} at a time, {} messages in a call", plugin.concurrency, plugin.max_batch)),
    ];
    lines.extend(grants.iter().map(|grant| ("permission", format!("{}: {}", grant.capability, grant.about))));
    lines.extend(limits.iter().map(|limit| ("limit", format!("{} = {}", limit.key, limit.value))));
    let lines: Vec<_> = lines.iter().map(|(name, text)| format!("  {name:<13}{}", escaped(text))).collect();
    format!("{}\n{}", escaped(&overview.plugin), lines.join("\n"))
}

/// Pauses a plugin.
///
/// # Errors
/// There is no reason, the plugin is unknown, or the host does not answer.
pub async fn pause(args: Pause) -> Result<(), UserError> {
    let client = Client::new(&args.api)?;
    let reason = confirm::reason(args.reason, "a pause")?;
    let changed = change(&client, &args.name, "pause", reason).await?;
    let plugin = escaped(&changed.plugin);
    args.output.report(&changed, || match changed.changed {
        true => format!("paused {plugin}; to resume it: host plugin resume {plugin}"),
        false => format!("{plugin} was paused already, {}; nothing was changed", details(&changed.intake)),
    })
}

/// Resumes a plugin.
///
/// # Errors
/// The plugin is unknown, or the host does not answer.
pub async fn resume(args: Resume) -> Result<(), UserError> {
    let client = Client::new(&args.api)?;
    let changed = change(&client, &args.name, "resume", args.reason).await?;
    let plugin = escaped(&changed.plugin);
    args.output.report(&changed, || match (changed.changed, changed.intake.state) {
        (true, _) => format!("resumed {plugin}"),
        (false, IntakeState::Resting) => {
            format!("{plugin} is not paused; it rests, and continues by itself when a call succeeds")
        }
        (false, _) => format!("{plugin} is not paused; nothing was changed"),
    })
}

async fn change(
    client: &Client,
    name: &str,
    action: &str,
    reason: String,
) -> Result<ChangedIntake, UserError> {
    let path = format!("/plugins/{}/{action}", in_path(name));
    client.post(&path, &IntakeChange { reason }).await
}

/// A name as a part of a path.
fn in_path(name: &str) -> String {
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    // In a path, a plus is a plus.
    name.replace('+', "%20")
}

/// Since when it is paused, by whom and why.
fn details(intake: &Intake) -> String {
    let since = intake.since_ms.map(text::utc).unwrap_or_default();
    let actor = intake.actor.as_deref().unwrap_or_default();
    format!(
        "since {since}{}{}",
        suffix(" by ", actor),
        suffix(": ", intake.reason.as_deref().unwrap_or_default())
    )
}
