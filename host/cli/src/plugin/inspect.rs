//! `host plugin inspect`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::iter;
use std::path::{Path, PathBuf};

use base::error::UserError;
use bytesize::ByteSize;
use consumer::Subscriber;
use consumer::subscription::Subscription;
use contract::Description;
use sandbox::capabilities::{self, Capability};
use sandbox::engine;
use sandbox::file::PluginFile;
use sandbox::limits::Limits;
use sandbox::needs::Needs;
use serde::Serialize;
use settings::{PluginSettings, RunArgs};

use crate::config::{self, without_password};
use desk_cli::output::{escaped, print, print_json};
use plugin_cli::args::{Format, PluginArgs};

/// Arguments of `host plugin inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Output format
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    pub(super) plugin: PluginArgs,
}

/// Prints a description of the plugin, and whether it runs with this configuration.
///
/// # Errors
/// The file is not a plugin (exit code 2), or does not run with this configuration (1).
pub async fn run(args: Args) -> Result<(), UserError> {
    let (run, output) = (args.plugin.run_args(), args.output);
    let path = run.plugins.first().map_or(Path::new(""), PathBuf::as_path);
    // The file is checked first, even if the configuration is wrong.
    let settings = run.settings_of(0).ok().flatten();
    let engines = consumer::load::engines(iter::once(settings));
    let file = PluginFile::read(path, &engines.or_else(|_| consumer::load::engines(iter::once(None)))?)?;
    file.check_exports()?;
    let described = describe(&file).await;
    let runs = config::load(&run).await;
    let report = Report::new(&run, path, &file, &described, &runs);
    match output {
        Format::Text => print(report.text().trim_end())?,
        Format::Json => print_json(&report)?,
    }
    runs.map(|_| ()).map_err(UserError::as_answer)
}

async fn describe(file: &PluginFile) -> Result<Description, UserError> {
    file.check()?;
    file.describe(&file.link()?).await
}

#[derive(Serialize)]
struct Report {
    file: String,
    /// None if `describe` failed.
    name: Option<String>,
    version: Option<String>,
    summary: Option<String>,
    size: usize,
    sha256: String,
    /// One in a correct build.
    contract: Vec<String>,
    imports: BTreeMap<&'static str, Vec<String>>,
    exports: Vec<String>,
    /// Whether messages share an instance, with this configuration.
    isolation: &'static str,
    /// The reason why its instances cannot be reset after each message, if they cannot.
    not_reset: Option<String>,
    /// The size of its largest memory at first, in bytes.
    first_memory: usize,
    /// The limit on the memory of an instance with this configuration, in bytes.
    memory_limit: usize,
    /// What an instance takes from the pool.
    needs: Needs,
    /// The reason why its instances do not come from the pool, if they do not.
    not_pooled: Option<String>,
    subscription: Option<Topics>,
    wants: Vec<&'static str>,
    runs: bool,
    errors: Vec<Problem>,
    /// The configuration file.
    config: Option<String>,
    granted: Vec<String>,
    /// The keys of its configuration.
    config_keys: Vec<String>,
    mail_url: Option<String>,
    warnings: Vec<String>,
}

/// The subscription with this configuration; that of the plugin's description if it does not run.
#[derive(Serialize)]
struct Topics {
    topic: String,
    group: String,
    dead_letter_topic: String,
    ordering: Option<&'static str>,
    retries: u32,
    tiers: Vec<Tier>,
}

#[derive(Serialize)]
struct Tier {
    /// None if failed messages are retried in place.
    topic: Option<String>,
    delay_ms: u64,
}

#[derive(Serialize)]
struct Problem {
    problem: String,
    help: Vec<String>,
}

impl Report {
    fn new(
        run: &RunArgs,
        path: &Path,
        file: &PluginFile,
        described: &Result<Description, UserError>,
        runs: &Result<Vec<Subscriber>, UserError>,
    ) -> Self {
        let settings = run.settings_of(0).ok().flatten();
        let is_listed = run.settings_of(0).is_ok();
        let own = |text: fn(&Description) -> &String| described.as_ref().ok().map(|it| text(it).clone());
        // Errors of the file come first; further ones are those of this configuration.
        let errors = [described.as_ref().err(), runs.as_ref().err()].into_iter().flatten();
        let mut errors: Vec<_> = errors
            .map(|it| Problem { problem: it.problem().to_owned(), help: it.fixes().to_vec() })
            .collect();
        errors.dedup_by(|a, b| a.problem == b.problem);
        let granted = if is_listed { capabilities::granted(settings) } else { Vec::new() };
        let wants = file.wants();
        let warning = |capability: &&dyn Capability| {
            capability.warning(capabilities::is_granted(*capability, settings), run)
        };
        Self {
            file: path.display().to_string(),
            name: own(|it| &it.name),
            version: own(|it| &it.version),
            summary: own(|it| &it.summary),
            size: file.size,
            sha256: file.digest.clone(),
            contract: file.contracts().into_iter().map(|(_, version)| version.to_owned()).collect(),
            imports: grouped(&file.imports),
            exports: file.exports.clone(),
            not_reset: file.not_reset.as_ref().map(ToString::to_string),
            first_memory: file.first_memory,
            memory_limit: settings.and_then(|it| Limits::new(&it.limits).ok()).unwrap_or_default().memory,
            needs: file.needs,
            isolation: settings.and_then(|settings| settings.isolation).unwrap_or_default().as_str(),
            not_pooled: file.not_pooled.clone(),
            subscription: topics(described, runs, settings),
            wants: wants.iter().map(|capability| capability.name()).collect(),
            runs: runs.is_ok(),
            errors,
            config: run.found.as_ref().map(|found| found.path.display().to_string()),
            granted,
            config_keys: settings.map(|it| it.config.keys().cloned().collect()).unwrap_or_default(),
            mail_url: run.mail_url.as_deref().map(without_password),
            warnings: wants.iter().filter(|_| is_listed).filter_map(warning).collect(),
        }
    }

    fn text(&self) -> String {
        let mut text = match (&self.name, &self.version) {
            (Some(name), Some(version)) => format!("{}@{}\n", escaped(name), escaped(version)),
            _ => format!("{}\n", escaped(&self.file)),
        };
        let mut add = |name: &str, line: &str| _ = writeln!(text, "  {name:<13}{line}");
        if let Some(summary) = &self.summary {
            add("summary", &escaped(summary));
        }
        add("file", &format!("{}, {}", escaped(&self.file), ByteSize::b(self.size as u64)));
        add("sha256", &self.sha256);
        add("contract", &self.contract.join(", "));
        let mut title = "imports";
        for (group, names) in &self.imports {
            // Versions other than the contract's matter only in errors, which have them.
            let names: Vec<_> = names.iter().filter_map(|name| name.split('@').next()).collect();
            add(title, &format!("{group}: {}", names.join(" ")));
            title = "";
        }
        add("exports", &self.exports.join(" "));
        add("instances", &self.instances());
        add("memory", &self.memory());
        add("takes", &self.takes());
        if let Some(topics) = &self.subscription {
            topics.lines().iter().for_each(|(name, line)| add(name, line));
        }
        add("wants", &or_nothing(&self.wants.join(", ")));
        let place = self.config.as_deref().map_or("no configuration file".to_owned(), escaped);
        add("granted here", &format!("{} ({place})", or_nothing(&self.granted.join(" "))));
        if !self.config_keys.is_empty() {
            add("config keys", &escaped(&self.config_keys.join(" ")));
        }
        if let Some(url) = &self.mail_url {
            add("mail server", &escaped(url));
        }
        self.warnings.iter().for_each(|warning| add("warning", warning));
        add("runs here", if self.runs { "yes" } else { "no" });
        // The last error is the error of the command.
        for Problem { problem, help } in self.errors.iter().rev().skip(1) {
            add("error", problem);
            help.iter().for_each(|help| add("", &format!("help: {help}")));
        }
        text
    }
}

impl Report {
    /// How messages get their instance, and why.
    fn instances(&self) -> String {
        match (self.isolation, &self.not_reset) {
            ("message", Some(reason)) => format!("new for each message: {reason}"),
            ("message", None) => "reset after each message".to_owned(),
            ("instance", _) => "shared by messages: isolation = \"instance\"".to_owned(),
            (isolation, _) => format!("new for each message: isolation = {isolation:?}"),
        }
    }

    fn memory(&self) -> String {
        let [first, limit] = [self.first_memory, self.memory_limit].map(|bytes| ByteSize::b(bytes as u64));
        format!("{first} at first, up to {limit} (limits.memory)")
    }

    /// What an instance takes, and from where.
    fn takes(&self) -> String {
        let Needs { core_instances, memories, tables } = self.needs;
        let place = match &self.not_pooled {
            Some(reason) => format!("on demand, not from the pool: {reason}"),
            None if engine::scans_pages() => "from the pool (PAGEMAP_SCAN)".to_owned(),
            None => "from the pool (without PAGEMAP_SCAN: Linux 6.7 has it)".to_owned(),
        };
        format!("core instances {core_instances}, memories {memories}, tables {tables}; {place}")
    }
}

impl Topics {
    fn of(subscription: &Subscription) -> Self {
        let policy = &subscription.policy;
        let topics = subscription.retry_topics();
        let tier = |(index, delay_ms): (usize, &u64)| Tier {
            topic: topics.get(index).cloned(),
            delay_ms: *delay_ms,
        };
        Self {
            topic: subscription.topic.clone(),
            group: subscription.group.clone(),
            dead_letter_topic: subscription.dead_letter_topic.clone(),
            ordering: Some(subscription.ordering.as_str()),
            retries: policy.retry().retries,
            tiers: policy.tiers_ms().iter().enumerate().map(tier).collect(),
        }
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let seconds = |tier: &Tier| format!("{} s", tier.delay_ms as f64 / 1000.0);
        let tier = |tier: &Tier| match &tier.topic {
            Some(topic) => format!("{} on {topic}", seconds(tier)),
            None => format!("{} in place", seconds(tier)),
        };
        let tiers: Vec<_> = self.tiers.iter().map(tier).collect();
        let tiers = if tiers.is_empty() { String::new() } else { format!(": {}", tiers.join(", ")) };
        vec![
            ("topic", escaped(&self.topic)),
            ("group", escaped(&self.group)),
            ("ordering", self.ordering.unwrap_or("unknown").to_owned()),
            ("retries", format!("{}{tiers}", self.retries)),
            ("dead letters", escaped(&self.dead_letter_topic)),
        ]
    }
}

/// The subscription of the loaded plugin, else that of these settings, else that of the plugin's description.
fn topics(
    described: &Result<Description, UserError>,
    runs: &Result<Vec<Subscriber>, UserError>,
    settings: Option<&PluginSettings>,
) -> Option<Topics> {
    if let Some(plugin) = runs.as_ref().ok().and_then(|plugins| plugins.first()) {
        return Some(Topics::of(&plugin.subscription));
    }
    let described = &described.as_ref().ok()?.subscription;
    Some(match Subscription::new(described.clone(), settings) {
        Ok(subscription) => Topics::of(&subscription),
        Err(_) => Topics {
            topic: described.topic.clone(),
            group: described.group.clone(),
            dead_letter_topic: described.dead_letter_topic.clone(),
            ordering: None,
            retries: described.retry.retries,
            tiers: Vec::new(),
        },
    })
}

/// The interface, if it belongs to the contract.
fn of_contract(name: &str) -> Option<&str> {
    name.split_once('/').filter(|(package, _)| contract::is_package(package)).map(|(_, interface)| interface)
}

/// Imports by their origin; those of the contract without its name.
fn grouped(imports: &[String]) -> BTreeMap<&'static str, Vec<String>> {
    let mut groups: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for name in imports {
        let (group, name) = if let Some(own) = of_contract(name) {
            ("contract", own)
        } else if let Some(of_capability) = capabilities::by_import(name) {
            of_capability
        } else if let Some(wasi) = name.strip_prefix("wasi:") {
            ("wasi", wasi)
        } else {
            ("other", name.as_str())
        };
        groups.entry(group).or_default().push(escaped(name));
    }
    groups
}

fn or_nothing(text: &str) -> String {
    if text.is_empty() { "nothing".to_owned() } else { text.to_owned() }
}
