//! `host config check|show|init|reference`. None of them needs Kafka.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::clock::millis_u64;
use base::error::UserError;
use base::kafka_properties::Place;
use bytesize::ByteSize;
use consumer::{Subscriber, bounds, max_batch, worker};
use kafka::errors::{self, Context};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaResult;
use sandbox::call::Outside;
use sandbox::capabilities;
use sandbox::limits::Limits;
use sandbox::outgoing::Outgoing;
use sandbox::tls;
use settings::RunArgs;
use settings::{LimitSettings, PluginSettings, Properties, RuleSettings, ShownTable, reference};
use store::StoreUrl;

use crate::layers::Origins;
use crate::output::{note, print};
use crate::preflight;

/// Arguments of `host config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check the configuration and load the plugins, without Kafka
    Check(RunArgs),
    /// Print the effective configuration with the origin of each value
    Show(RunArgs),
    /// Write a new configuration file that describes every key
    Init(InitArgs),
    /// Print the reference of all keys as Markdown
    Reference,
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
            Command::Check(args) | Command::Show(args) => Some(args),
            Command::Init(_) | Command::Reference => None,
        }
    }
}

/// # Errors
/// The configuration is wrong, or the new file exists already.
pub async fn run(args: Args, origins: Origins) -> anyhow::Result<()> {
    match args.command {
        Command::Check(args) => Ok(check(&args).await?),
        Command::Show(args) => Ok(show(&args, &origins).await?),
        Command::Init(args) => Ok(init(&args).await?),
        Command::Reference => Ok(print(reference::markdown(&capabilities::extensions()).trim_end())?),
    }
}

async fn check(args: &RunArgs) -> Result<(), UserError> {
    let plugins = load(args).await?;
    for Subscriber { plugin, subscription } in &plugins {
        let label = &plugin.label;
        note(format_args!("{label}: topic {}, group {}", subscription.topic, subscription.group));
    }
    let place =
        args.found.as_ref().map_or("the command line".to_owned(), |found| found.path.display().to_string());
    note(format_args!("{place} is valid"));
    Ok(())
}

/// Loads the plugins. A Kafka client checks the properties of librdkafka; it does not connect.
pub(super) async fn load(args: &RunArgs) -> Result<Vec<Subscriber>, UserError> {
    let (plugins, _) = preflight::prepare(args).await?;
    let client: KafkaResult<BaseConsumer<Context>> =
        kafka::client::config(&args.kafka, &[]).create_with_context(Context::default());
    client.map_err(|error| errors::invalid_config(&error))?;
    Ok(plugins)
}

async fn show(args: &RunArgs, origins: &Origins) -> Result<(), UserError> {
    let plugins = load(args).await?;
    let mut text = String::new();
    let from = |key: &str| origins.get(key).copied().unwrap_or("default");
    line(&mut text, "listen", &args.listen.to_string().into(), from("listen"));
    line(&mut text, "create-topics", &args.create_topics.into(), from("create-topics"));
    line(&mut text, "auto-offset-reset", &args.auto_offset_reset.as_str().into(), from("auto-offset-reset"));
    text.push_str("\n[kafka]\n");
    let servers = args.kafka.bootstrap_servers.as_str();
    line(&mut text, "bootstrap-servers", &servers.into(), from("bootstrap-servers"));
    let mut printed = BTreeSet::new();
    for (place, properties) in args.kafka.layers().into_iter().rev() {
        let from = match place {
            Place::Flag => "-X",
            Place::Environment => "environment",
            Place::File => "file",
        };
        // The last value of a property takes precedence.
        for (name, value) in properties.iter().rev() {
            if printed.insert(name) {
                line(
                    &mut text,
                    &format!("properties.{name:?}"),
                    &Properties::shown(name, value).into(),
                    from,
                );
            }
        }
    }
    mail(&mut text, args, from("mail.url"))?;
    shown_http(&mut text, args);
    if let Some(url) = args.store.as_deref() {
        text.push_str("\n[desk]\n");
        line(&mut text, "enabled", &args.desk.into(), from("desk.enabled"));
        text.push_str("\n[store]\n");
        line(&mut text, "url", &StoreUrl::parse(url)?.to_string().into(), from("store.url"));
        let (none, set) = (settings::Store::default(), args.found.as_ref().map(|found| &found.file.store));
        let keep = set.unwrap_or(&none).keep()?;
        let is_set = set.is_some_and(|set| set.keep.is_some());
        line(&mut text, "keep", &time(millis_u64(keep)), if is_set { "file" } else { "default" });
    }
    for (index, (plugin, path)) in plugins.iter().zip(&args.plugins).enumerate() {
        let settings = args.settings_of(index)?;
        text.push_str(&shown(plugin, path, settings, from("plugin")));
    }
    let stop = bounds::stop(plugins.iter().map(|plugin| &plugin.plugin)).as_secs();
    let _ = writeln!(text, "\n# The host stops within {stop} s of SIGTERM; the longest call-time decides.");
    print(text.trim_end())
}

fn mail(text: &mut String, args: &RunArgs, from: &str) -> Result<(), UserError> {
    if !args.has_mail() {
        return Ok(());
    }
    text.push_str("\n[mail]\n");
    if let Some(url) = args.mail_url.as_deref().map(without_password) {
        line(text, "url", &url.into(), from);
    }
    let Some(mail) = args.found.as_ref().map(|found| &found.file.mail) else { return Ok(()) };
    mail.lines().iter().for_each(|(key, value)| line(text, key, value, "file"));
    for (name, server) in &mail.server {
        let heading = format!("mail.server.{name}");
        let _ = writeln!(text, "\n[mail.server.{name:?}]");
        if let Some(url) = &server.url {
            line(text, "url", &without_password(&url.read(&format!("{heading}.url"))?).into(), "file");
        }
        server.lines().iter().for_each(|(key, value)| line(text, key, value, "file"));
    }
    Ok(())
}

fn shown(subscriber: &Subscriber, path: &Path, settings: Option<&PluginSettings>, from: &str) -> String {
    let Subscriber { plugin, subscription } = subscriber;
    let mut text = format!("\n# {}\n[[plugin]]\n", plugin.label);
    let none = PluginSettings::default();
    let (listed, set) = (settings.is_some(), settings.unwrap_or(&none));
    let origin = |is_set: bool| if is_set { "file" } else { "plugin" };
    let or_default = |is_set: bool| if is_set { "file" } else { "default" };
    line(&mut text, "path", &path.display().to_string().into(), from);
    line(&mut text, "topic", &subscription.topic.as_str().into(), origin(listed));
    line(&mut text, "group", &subscription.group.as_str().into(), origin(set.group.is_some()));
    let dead = set.dead_letter_topic.is_some() || set.dead_letter_suffix.is_some();
    line(&mut text, "dead-letter-topic", &subscription.dead_letter_topic.as_str().into(), origin(dead));
    for (key, value, is_set) in [
        ("dead-letter-suffix", &subscription.dead_letter_suffix, set.dead_letter_suffix.is_some()),
        ("retry-suffix", &subscription.retry_suffix, set.retry_suffix.is_some()),
    ] {
        line(&mut text, key, &value.as_str().into(), or_default(is_set));
    }
    let calls = worker::shares(subscription.concurrency).iter().sum::<usize>();
    let calls = i64::try_from(calls).unwrap_or(i64::MAX);
    line(&mut text, "concurrency", &calls.into(), or_default(set.concurrency.is_some()));
    let (ordering, on_dead) = (subscription.ordering.as_str(), subscription.on_dead.as_str());
    line(&mut text, "ordering", &ordering.into(), or_default(set.ordering.is_some()));
    line(&mut text, "on-dead", &on_dead.into(), or_default(set.on_dead.is_some()));
    let from = or_default(set.isolation.is_some());
    let from = plugin.not_reset().map_or(from.to_owned(), |why| format!("{from}; instances are new: {why}"));
    line(&mut text, "isolation", &plugin.isolation().as_str().into(), &from);
    let most = i64::try_from(max_batch(plugin, subscription)).unwrap_or(i64::MAX);
    line(&mut text, "max-batch", &most.into(), or_default(set.max_batch.is_some()));
    let unsettled = plugin.grants.unsettled.as_str();
    line(&mut text, "unsettled", &unsettled.into(), or_default(set.unsettled.is_some()));
    let allow: Vec<_> = set.allow.iter().map(ToString::to_string).collect();
    line(&mut text, "allow", &allow.into(), or_default(!set.allow.is_empty()));
    for (key, value) in &set.config {
        line(&mut text, &format!("config.{key:?}"), &value.to_string().into(), "file");
    }
    for ShownTable { heading, lines } in set.sections.tables() {
        let _ = writeln!(text, "{heading}");
        lines.iter().for_each(|(key, value)| line(&mut text, key, value, "file"));
    }
    shown_limits(&mut text, &plugin.grants.limits, &set.limits);
    text.push_str("[plugin.retry]\n");
    let (retry, set) = (subscription.policy.retry(), &set.retry);
    for (key, value, from) in [
        ("retries", i64::from(retry.retries).into(), origin(set.retries.is_some())),
        ("delay", time(retry.delay_ms), origin(set.delay.is_some())),
        ("multiplier", retry.multiplier.into(), origin(set.multiplier.is_some())),
        ("max-delay", time(retry.max_delay_ms), origin(set.max_delay.is_some())),
        ("jitter", retry.jitter.into(), origin(set.jitter.is_some())),
        ("max-age", time(retry.max_age_ms), origin(set.max_age.is_some())),
        ("blocking-tries", i64::from(retry.blocking_tries).into(), or_default(set.blocking_tries.is_some())),
        ("blocking-delay", time(retry.blocking_delay_ms), or_default(set.blocking_delay.is_some())),
    ] {
        line(&mut text, key, &value, from);
    }
    subscription.policy.rules().iter().for_each(|rule| shown_rule(&mut text, rule));
    text
}

/// Nothing without a setting or a variable. Variables that cannot be used are refused where they are needed.
fn shown_http(text: &mut String, args: &RunArgs) {
    let http = preflight::http(args);
    let Ok(outgoing) = Outgoing::new(&http) else { return };
    let mut lines = String::new();
    let from = |place: &'static str| if place.starts_with("http.") { "file" } else { place };
    if let Some(ca) = &http.ca {
        line(&mut lines, "ca", &ca.display().to_string().into(), "file");
    }
    if let Some(public) = tls::replacement() {
        let _ = writeln!(lines, "# {} replaces the public authorities: {}", tls::PUBLIC, public.display());
    }
    for proxy in outgoing.proxies() {
        line(&mut lines, "proxy", &proxy.masked().into(), from(proxy.place));
    }
    let (names, place) = outgoing.no_proxy();
    if !names.is_empty() {
        line(&mut lines, "no-proxy", &names.into(), from(place));
    }
    if !lines.is_empty() {
        let _ = write!(text, "\n[http]\n{lines}");
    }
}

fn shown_limits(text: &mut String, limits: &Limits, set: &LimitSettings) {
    text.push_str("[plugin.limits]\n");
    let size = |bytes: usize| ByteSize::b(bytes as u64).to_string().into();
    let own = [
        ("memory", size(limits.memory), set.memory.is_some()),
        ("guest-time", time(millis_u64(limits.guest_time)), set.guest_time.is_some()),
        ("call-time", time(millis_u64(limits.call_time)), set.call_time.is_some()),
        ("outcome", size(limits.outcome), set.outcome.is_some()),
        ("log", size(limits.log), set.log.is_some()),
    ];
    let of_capabilities = Limits::of_capabilities()
        .map(|limit| (limit.key, size(limits.size(limit)), set.sizes.get(limit).is_some()));
    let host_calls = [("host-calls", i64::from(limits.host_calls).into(), set.host_calls.is_some())];
    for (key, value, is_set) in own.into_iter().chain(of_capabilities).chain(host_calls) {
        line(text, key, &value, if is_set { "file" } else { "default" });
    }
}

/// Keys that are not set have no common default: it depends on the failure.
fn shown_rule(text: &mut String, rule: &RuleSettings) {
    text.push_str("[[plugin.rule]]\n");
    let number = |number: u32| toml::Value::from(i64::from(number));
    for (key, value) in [
        ("code", Some(rule.code.as_str().into())),
        ("retries", rule.retries.map(number)),
        ("action", rule.action.map(|action| action.as_str().into())),
        ("blocking-tries", rule.blocking_tries.map(number)),
    ] {
        if let Some(value) = value {
            line(text, key, &value, "file");
        }
    }
}

fn time(millis: u64) -> toml::Value {
    humantime_serde::re::humantime::format_duration(Duration::from_millis(millis)).to_string().into()
}

fn line(text: &mut String, key: &str, value: &toml::Value, from: &str) {
    let pair = format!("{key} = {value}");
    let _ = writeln!(text, "{pair:<50} # {from}");
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
            "# {}\n[[plugin]]\npath = {}\ntopic = {}\ngroup = {}\n",
            plugin.label,
            text(&path.display().to_string()),
            text(&subscription.topic),
            text(&subscription.group),
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
