//! `host config check|show|init|reference`. None of them needs Kafka.

mod show;

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::error::UserError;
use consumer::{Subscriber, bounds};
use kafka::errors::{self, Context};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaResult;
use sandbox::call::Outside;
use sandbox::capabilities::{self, Capability};
use serde::Serialize;
use settings::RunArgs;
use settings::reference;

use crate::layers::Origins;
use crate::preflight;
use desk_cli::output::{OutputArgs, note, print, print_json};

pub use self::show::tables;

/// Arguments of `host config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check the configuration and load the plugins, without Kafka
    Check(CheckArgs),
    /// Print the effective configuration with the origin of each value
    Show(ShowArgs),
    /// Write a new configuration file that describes every key
    Init(InitArgs),
    /// Print the reference of all keys as Markdown
    Reference,
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// Output format
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    run: RunArgs,
}

/// The format of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// The form of the file
    Text,
    /// JSON
    Json,
}

#[derive(Debug, clap::Args)]
struct InitArgs {
    /// Plugin to list in the file; can be repeated
    #[arg(long = "plugin", value_name = "FILE")]
    list: Vec<PathBuf>,
    /// File to write; - for standard output
    #[arg(short, long, value_name = "FILE", default_value = settings::NAME)]
    output: PathBuf,
}

impl Args {
    /// The arguments for running plugins.
    pub fn run_args_mut(&mut self) -> Option<&mut RunArgs> {
        match &mut self.command {
            Command::Check(args) => Some(&mut args.run),
            Command::Show(args) => Some(&mut args.run),
            Command::Init(_) | Command::Reference => None,
        }
    }
}

/// # Errors
/// The configuration is wrong, or the new file exists already.
pub async fn run(args: Args, origins: Origins) -> anyhow::Result<()> {
    match args.command {
        Command::Check(args) => Ok(check(&args).await?),
        Command::Show(args) => Ok(show(args, &origins).await?),
        Command::Init(args) => Ok(init(&args).await?),
        Command::Reference => Ok(print(reference::markdown(&capabilities::extensions()).trim_end())?),
    }
}

async fn check(CheckArgs { output, run }: &CheckArgs) -> Result<(), UserError> {
    let plugins = load(run).await?;
    let place =
        run.found.as_ref().map_or("the command line".to_owned(), |found| found.path.display().to_string());
    let checked = Checked {
        place,
        plugins: plugins.iter().map(CheckedPlugin::of).collect(),
        warnings: warnings(run, &plugins),
    };
    output.report(&checked, || checked.lines())
}

/// A configuration that is valid.
#[derive(Serialize)]
struct Checked {
    place: String,
    plugins: Vec<CheckedPlugin>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct CheckedPlugin {
    plugin: String,
    topic: String,
    group: String,
}

impl CheckedPlugin {
    fn of(Subscriber { plugin, subscription }: &Subscriber) -> Self {
        let (topic, group) = (subscription.topic.clone(), subscription.group.clone());
        Self { plugin: plugin.label.clone(), topic, group }
    }
}

impl Checked {
    fn lines(&self) -> String {
        let plugin = |it: &CheckedPlugin| format!("{}: topic {}, group {}", it.plugin, it.topic, it.group);
        let warnings = self.warnings.iter().map(|warning| format!("warning: {warning}"));
        let lines = self.plugins.iter().map(plugin).chain(warnings);
        lines.chain([format!("{} is valid", self.place)]).collect::<Vec<_>>().join("\n")
    }
}

/// What plugins import and may not use, or not fully: a message that uses it fails.
pub fn warnings(args: &RunArgs, plugins: &[Subscriber]) -> Vec<String> {
    let of_plugin = |Subscriber { plugin, .. }: &Subscriber| {
        let warning = |capability: &&'static dyn Capability| {
            let is_granted = plugin.grants.of(*capability).is_some();
            let text = capability.warning(is_granted, args)?;
            Some(format!("{}: {text}", plugin.label))
        };
        plugin.wants.iter().filter_map(warning).collect::<Vec<_>>()
    };
    plugins.iter().flat_map(of_plugin).collect()
}

/// Loads the plugins. A Kafka client checks the properties of librdkafka; it does not connect.
pub(super) async fn load(args: &RunArgs) -> Result<Vec<Subscriber>, UserError> {
    let (plugins, _) = preflight::prepare(args).await?;
    let client: KafkaResult<BaseConsumer<Context>> =
        kafka::client::config(&args.kafka, &[]).create_with_context(Context::default());
    client.map_err(|error| errors::invalid_config(&error))?;
    Ok(plugins)
}

/// Prints the effective configuration.
async fn show(args: ShowArgs, origins: &Origins) -> Result<(), UserError> {
    let plugins = load(&args.run).await?;
    let tables = tables(&args.run, origins, &plugins)?;
    if args.output == Format::Json {
        return print_json(&tables);
    }
    let stop = bounds::stop(plugins.iter().map(|plugin| &plugin.plugin)).as_secs();
    let text = show::text(&tables);
    print(format_args!("{text}\n# The host stops within {stop} s of SIGTERM; the longest call-time decides."))
}

pub(super) fn without_password(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut url) if url.password().is_some() => {
            let _ = url.set_password(Some("***"));
            url.to_string()
        }
        _ => url.to_owned(),
    }
}

/// The permissions that a plugin wants, as a choice: what needs a value of its own is commented out.
fn wanted(capabilities: &[&'static dyn Capability]) -> String {
    if capabilities.is_empty() {
        return String::new();
    }
    let mut text =
        "# What it imports. Each entry is a permission: remove what it may not use.\nallow = [\n".to_owned();
    for capability in capabilities {
        for entry in capability.settings().allow.iter().filter(|entry| entry.grants) {
            let is_complete = capability.without_file().contains(&entry.example);
            let off = if is_complete { "" } else { "# " };
            let _ = writeln!(text, "    {off}{:?}, # {}", entry.example, entry.about);
        }
    }
    text.push_str("]\n");
    text
}

async fn init(args: &InitArgs) -> Result<(), UserError> {
    let mut plugins = String::new();
    let engines = consumer::load::engines(args.list.iter().map(|_| None))?;
    let outside = Outside::Captured(Arc::default());
    for path in &args.list {
        let Subscriber { plugin, subscription } =
            Subscriber::load(path, None, &engines, outside.clone()).await?;
        let text = |text: &str| toml::Value::from(text);
        let _ = write!(
            plugins,
            "# {}\n[[plugin]]\npath = {}\ntopic = {}\ngroup = {}\n{}",
            plugin.label,
            text(&path.display().to_string()),
            text(&subscription.topic),
            text(&subscription.group),
            wanted(&plugin.wants),
        );
    }
    let text = reference::template(&plugins, &capabilities::extensions());
    if args.output == Path::new("-") {
        return print(text.trim_end());
    }
    let place = args.output.display();
    let file = OpenOptions::new().write(true).create_new(true).open(&args.output);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        UserError::usage(format!("cannot write {place}: {error}"))
            .help("write to another file: host config init -o FILE, or to standard output: -o -")
    })?;
    note(format_args!("wrote {place}; check it with: host config check"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_up_to_date() {
        let page = include_str!("../../../docs/reference/configuration.md");
        let generated = reference::markdown(&capabilities::extensions());
        assert!(!generated.contains("|  |"), "a key has no description");
        assert!(page == generated, "generate it: host config reference > docs/reference/configuration.md");
    }
}
