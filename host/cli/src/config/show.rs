//! The effective configuration with the origin of each value, for `host config show`, the API and the console.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use base::clock::millis_u64;
use base::error::UserError;
use base::kafka_properties::Place;
use bytesize::ByteSize;
use consumer::policy::Retry;
use consumer::{Subscriber, max_batch, worker};
use desk_api::{Setting, SettingTable};
use sandbox::limits::Limits;
use sandbox::outgoing::Outgoing;
use sandbox::tls;
use settings::{LimitSettings, PluginSettings, Properties, RetrySettings, RuleSettings, RunArgs, ShownTable};
use store::StoreUrl;

use super::without_password;
use crate::layers::Origins;
use crate::preflight;

/// Tables in the order of the file.
struct Shown(Vec<SettingTable>);

impl Shown {
    /// Begins a table.
    fn table(&mut self, heading: &str, remark: &str) {
        let (heading, remark) = (heading.to_owned(), remark.to_owned());
        self.0.push(SettingTable { heading, remark, settings: Vec::new() });
    }

    /// Adds a value to the last table.
    fn line(&mut self, key: &str, value: &toml::Value, origin: &str) {
        if let Some(table) = self.0.last_mut() {
            let (key, value, origin) = (key.to_owned(), value.to_string(), origin.to_owned());
            table.settings.push(Setting { key, value, origin });
        }
    }
}

/// The tables as a file, with the origin of each value behind it.
pub fn text(tables: &[SettingTable]) -> String {
    let mut text = String::new();
    for SettingTable { heading, remark, settings } in tables {
        let is_inside = heading.starts_with("[plugin.") || heading.starts_with("[[plugin.");
        if !text.is_empty() && !is_inside {
            text.push('\n');
        }
        if !remark.is_empty() {
            let _ = writeln!(text, "# {remark}");
        }
        if !heading.is_empty() {
            let _ = writeln!(text, "{heading}");
        }
        for Setting { key, value, origin } in settings {
            let pair = format!("{key} = {value}");
            let _ = writeln!(text, "{pair:<50} # {origin}");
        }
    }
    text
}

/// The effective configuration of these plugins, with the origin of each value. Secrets are masked.
///
/// # Errors
/// The settings of the store or of a mail server are invalid.
pub fn tables(
    args: &RunArgs,
    origins: &Origins,
    plugins: &[Subscriber],
) -> Result<Vec<SettingTable>, UserError> {
    let mut shown = Shown(Vec::new());
    shown.table("", "");
    let from = |key: &str| origins.get(key).copied().unwrap_or("default");
    shown.line("listen", &args.listen.to_string().into(), from("listen"));
    shown.line("create-topics", &args.create_topics.into(), from("create-topics"));
    shown.line("auto-offset-reset", &args.auto_offset_reset.as_str().into(), from("auto-offset-reset"));
    shown.table("[kafka]", "");
    let servers = args.kafka.bootstrap_servers.as_str();
    shown.line("bootstrap-servers", &servers.into(), from("bootstrap-servers"));
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
                shown.line(&format!("properties.{name:?}"), &Properties::shown(name, value).into(), from);
            }
        }
    }
    mail(&mut shown, args, from("mail.url"))?;
    http(&mut shown, args);
    if let Some(url) = args.store.as_deref() {
        shown.table("[desk]", "");
        shown.line("enabled", &args.desk.into(), from("desk.enabled"));
        shown.table("[store]", "");
        shown.line("url", &StoreUrl::parse(url)?.to_string().into(), from("store.url"));
        let (none, set) = (settings::Store::default(), args.found.as_ref().map(|found| &found.file.store));
        let keep = set.unwrap_or(&none).keep()?;
        let is_set = set.is_some_and(|set| set.keep.is_some());
        shown.line("keep", &time(millis_u64(keep)), if is_set { "file" } else { "default" });
    }
    for (index, (plugin, path)) in plugins.iter().zip(&args.plugins).enumerate() {
        let settings = args.settings_of(index)?;
        plugin_tables(&mut shown, plugin, path, settings, from("plugin"));
    }
    Ok(shown.0)
}

fn mail(shown: &mut Shown, args: &RunArgs, from: &str) -> Result<(), UserError> {
    if !args.has_mail() {
        return Ok(());
    }
    shown.table("[mail]", "");
    if let Some(url) = args.mail_url.as_deref().map(without_password) {
        shown.line("url", &url.into(), from);
    }
    let Some(mail) = args.found.as_ref().map(|found| &found.file.mail) else { return Ok(()) };
    mail.lines().iter().for_each(|(key, value)| shown.line(key, value, "file"));
    for (name, server) in &mail.server {
        let heading = format!("mail.server.{name}");
        shown.table(&format!("[mail.server.{name:?}]"), "");
        if let Some(url) = &server.url {
            shown.line("url", &without_password(&url.read(&format!("{heading}.url"))?).into(), "file");
        }
        server.lines().iter().for_each(|(key, value)| shown.line(key, value, "file"));
    }
    Ok(())
}

fn plugin_tables(
    shown: &mut Shown,
    subscriber: &Subscriber,
    path: &Path,
    settings: Option<&PluginSettings>,
    from: &str,
) {
    let Subscriber { plugin, subscription } = subscriber;
    shown.table("[[plugin]]", &plugin.label);
    let none = PluginSettings::default();
    let (listed, set) = (settings.is_some(), settings.unwrap_or(&none));
    let origin = |is_set: bool| if is_set { "file" } else { "plugin" };
    let or_default = |is_set: bool| if is_set { "file" } else { "default" };
    shown.line("path", &path.display().to_string().into(), from);
    shown.line("topic", &subscription.topic.as_str().into(), origin(listed));
    shown.line("group", &subscription.group.as_str().into(), origin(set.group.is_some()));
    let dead = set.dead_letter_topic.is_some() || set.dead_letter_suffix.is_some();
    shown.line("dead-letter-topic", &subscription.dead_letter_topic.as_str().into(), origin(dead));
    for (key, value, is_set) in [
        ("dead-letter-suffix", &subscription.dead_letter_suffix, set.dead_letter_suffix.is_some()),
        ("retry-suffix", &subscription.retry_suffix, set.retry_suffix.is_some()),
    ] {
        shown.line(key, &value.as_str().into(), or_default(is_set));
    }
    let calls = worker::shares(subscription.concurrency).iter().sum::<usize>();
    let calls = i64::try_from(calls).unwrap_or(i64::MAX);
    shown.line("concurrency", &calls.into(), or_default(set.concurrency.is_some()));
    let (ordering, on_dead) = (subscription.ordering.as_str(), subscription.on_dead.as_str());
    shown.line("ordering", &ordering.into(), or_default(set.ordering.is_some()));
    shown.line("on-dead", &on_dead.into(), or_default(set.on_dead.is_some()));
    let from = or_default(set.isolation.is_some());
    let from = plugin.not_reset().map_or(from.to_owned(), |why| format!("{from}; instances are new: {why}"));
    shown.line("isolation", &plugin.isolation().as_str().into(), &from);
    let most = i64::try_from(max_batch(plugin, subscription)).unwrap_or(i64::MAX);
    shown.line("max-batch", &most.into(), or_default(set.max_batch.is_some()));
    let unsettled = plugin.grants.unsettled.as_str();
    shown.line("unsettled", &unsettled.into(), or_default(set.unsettled.is_some()));
    let allow: Vec<_> = set.allow.iter().map(ToString::to_string).collect();
    shown.line("allow", &allow.into(), or_default(!set.allow.is_empty()));
    for (key, value) in &set.config {
        shown.line(&format!("config.{key:?}"), &value.to_string().into(), "file");
    }
    for ShownTable { heading, lines } in set.sections.tables() {
        shown.table(&heading, "");
        lines.iter().for_each(|(key, value)| shown.line(key, value, "file"));
    }
    limits(shown, &plugin.grants.limits, &set.limits);
    retry_table(shown, subscription.policy.retry(), &set.retry);
    subscription.policy.rules().iter().for_each(|rule| rule_table(shown, rule));
}

fn retry_table(shown: &mut Shown, retry: &Retry, set: &RetrySettings) {
    shown.table("[plugin.retry]", "");
    let origin = |is_set: bool| if is_set { "file" } else { "plugin" };
    let or_default = |is_set: bool| if is_set { "file" } else { "default" };
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
        shown.line(key, &value, from);
    }
}

/// Nothing without a setting or a variable. Variables that cannot be used are refused where they are needed.
fn http(shown: &mut Shown, args: &RunArgs) {
    let http = preflight::http(args);
    let Ok(outgoing) = Outgoing::new(&http) else { return };
    let remark = tls::replacement()
        .map(|public| format!("{} replaces the public authorities: {}", tls::PUBLIC, public.display()));
    shown.table("[http]", remark.as_deref().unwrap_or_default());
    let from = |place: &'static str| if place.starts_with("http.") { "file" } else { place };
    if let Some(ca) = &http.ca {
        shown.line("ca", &ca.display().to_string().into(), "file");
    }
    for proxy in outgoing.proxies() {
        shown.line("proxy", &proxy.masked().into(), from(proxy.place));
    }
    let (names, place) = outgoing.no_proxy();
    if !names.is_empty() {
        shown.line("no-proxy", &names.into(), from(place));
    }
    if remark.is_none() && shown.0.last().is_some_and(|table| table.settings.is_empty()) {
        shown.0.pop();
    }
}

fn limits(shown: &mut Shown, limits: &Limits, set: &LimitSettings) {
    shown.table("[plugin.limits]", "");
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
        shown.line(key, &value, if is_set { "file" } else { "default" });
    }
}

/// Keys that are not set have no common default: it depends on the failure.
fn rule_table(shown: &mut Shown, rule: &RuleSettings) {
    shown.table("[[plugin.rule]]", "");
    let number = |number: u32| toml::Value::from(i64::from(number));
    for (key, value) in [
        ("code", Some(rule.code.as_str().into())),
        ("retries", rule.retries.map(number)),
        ("action", rule.action.map(|action| action.as_str().into())),
        ("blocking-tries", rule.blocking_tries.map(number)),
    ] {
        if let Some(value) = value {
            shown.line(key, &value, "file");
        }
    }
}

fn time(millis: u64) -> toml::Value {
    humantime_serde::re::humantime::format_duration(Duration::from_millis(millis)).to_string().into()
}
