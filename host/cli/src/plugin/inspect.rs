//! `host plugin inspect`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::iter;
use std::path::{Path, PathBuf};

use base::error::UserError;
use base::text;
use bytesize::ByteSize;
use consumer::Subscriber;
use consumer::subscription::Subscription;
use contract::Description;
use contract::PACKAGE;
use sandbox::file::PluginFile;
use serde::Serialize;
use settings::{Allow, PluginSettings, RunArgs};

use super::{Format, Here};
use crate::config::{self, without_password};
use crate::output::{print, print_json};

/// Arguments of `host plugin inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How to print it
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    pub(super) here: Here,
}

/// Prints what the plugin is, and whether it runs here.
///
/// # Errors
/// It is no plugin (exit code 2), or does not run here (1).
pub async fn run(args: Args) -> Result<(), UserError> {
    let (run, output) = (args.here.run_args(), args.output);
    let path = run.plugins.first().map_or(Path::new(""), PathBuf::as_path);
    // Whatever the configuration says of it: the file is looked at first.
    let file = PluginFile::read(path, &consumer::load::engines(iter::once(None))?)?;
    file.check_exports()?;
    let described = ask(&file).await;
    let runs = config::load(&run).await;
    let report = Report::new(&run, path, &file, &described, &runs);
    match output {
        Format::Text => print(report.text().trim_end())?,
        Format::Json => print_json(&report)?,
    }
    runs.map(|_| ()).map_err(UserError::as_answer)
}

async fn ask(file: &PluginFile) -> Result<Description, UserError> {
    file.check()?;
    file.describe(&file.link()?).await
}

#[derive(Serialize)]
struct Report {
    file: String,
    /// None where it could not be asked.
    name: Option<String>,
    version: Option<String>,
    summary: Option<String>,
    size: usize,
    sha256: String,
    /// One, unless something went wrong.
    contract: Vec<String>,
    imports: BTreeMap<&'static str, Vec<String>>,
    exports: Vec<String>,
    subscription: Option<Reads>,
    wants: Vec<&'static str>,
    runs: bool,
    errors: Vec<What>,
    /// The configuration file.
    config: Option<String>,
    granted: Vec<String>,
    /// The names of what it can read.
    config_keys: Vec<String>,
    mail_url: Option<String>,
    warnings: Vec<String>,
}

/// What it reads here, or asks for where it does not run here.
#[derive(Serialize)]
struct Reads {
    topic: String,
    group: String,
    dead_letter_topic: String,
    ordering: Option<&'static str>,
    retries: u32,
    tiers: Vec<Tier>,
}

#[derive(Serialize)]
struct Tier {
    /// None where what failed is tried again in its place.
    topic: Option<String>,
    delay_ms: u64,
}

#[derive(Serialize)]
struct What {
    what: String,
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
        let is_granted = run.settings_of(0).is_ok();
        let own = |text: fn(&Description) -> &String| described.as_ref().ok().map(|it| text(it).clone());
        // What is wrong with the file is wrong everywhere, whatever else is wrong here.
        let errors = [described.as_ref().err(), runs.as_ref().err()].into_iter().flatten();
        let mut errors: Vec<_> =
            errors.map(|it| What { what: it.what().to_owned(), help: it.next_steps().to_vec() }).collect();
        errors.dedup_by(|a, b| a.what == b.what);
        let granted = match settings {
            Some(settings) => settings.allow.iter().map(ToString::to_string).collect(),
            // Without a configuration file the command line means it.
            None if is_granted => vec!["mail".to_owned()],
            None => Vec::new(),
        };
        let mut report = Self {
            file: path.display().to_string(),
            name: own(|it| &it.name),
            version: own(|it| &it.version),
            summary: own(|it| &it.summary),
            size: file.size,
            sha256: file.digest.clone(),
            contract: file.contracts().into_iter().map(str::to_owned).collect(),
            imports: grouped(&file.imports),
            exports: file.exports.clone(),
            subscription: reads(described, runs, settings),
            wants: [(file.wants_mail(), "mail"), (file.wants_http(), "http")]
                .into_iter()
                .filter_map(|(wants, what)| wants.then_some(what))
                .collect(),
            runs: runs.is_ok(),
            errors,
            config: run.found.as_ref().map(|found| found.path.display().to_string()),
            granted,
            config_keys: settings.map(|it| it.config.keys().cloned().collect()).unwrap_or_default(),
            mail_url: run.mail_url.as_deref().map(without_password),
            warnings: Vec::new(),
        };
        if is_granted {
            report.warn(settings);
        }
        report
    }

    fn warn(&mut self, settings: Option<&PluginSettings>) {
        let may_mail = self.granted.iter().any(|granted| granted == "mail");
        let is_url = |allow: &Allow| matches!(allow, Allow::Http(_));
        let may_http = settings.is_some_and(|settings| settings.allow.iter().any(is_url));
        if self.wants.contains(&"mail") && !may_mail {
            self.warnings.push(
                "it imports `mail`, which is not granted: each e-mail is denied; write allow = [\"mail\"]"
                    .to_owned(),
            );
        } else if self.wants.contains(&"mail") && self.mail_url.is_none() {
            self.warnings
                .push("it may send e-mail, and there is no --mail-url: e-mail is only logged".to_owned());
        }
        if self.wants.contains(&"http") && !may_http {
            self.warnings.push(
                "it imports wasi:http, and no URL is granted: each request is denied; \
                 list the URL in the `allow` of its [[plugin]]"
                    .to_owned(),
            );
        }
    }

    fn text(&self) -> String {
        let mut text = match (&self.name, &self.version) {
            (Some(name), Some(version)) => format!("{}@{}\n", line(name), line(version)),
            _ => format!("{}\n", line(&self.file)),
        };
        let mut say = |what: &str, line: &str| _ = writeln!(text, "  {what:<13}{line}");
        if let Some(summary) = &self.summary {
            say("summary", &line(summary));
        }
        say("file", &format!("{}, {}", line(&self.file), ByteSize::b(self.size as u64)));
        say("sha256", &self.sha256);
        say("contract", &self.contract.join(", "));
        let mut what = "imports";
        for (group, names) in &self.imports {
            // What differs in a version beside the contract's is an error, which tells it.
            let names: Vec<_> = names.iter().filter_map(|name| name.split('@').next()).collect();
            say(what, &format!("{group}: {}", names.join(" ")));
            what = "";
        }
        say("exports", &self.exports.join(" "));
        if let Some(reads) = &self.subscription {
            reads.lines().iter().for_each(|(what, line)| say(what, line));
        }
        say("wants", &or_nothing(&self.wants.join(", ")));
        let place = self.config.as_deref().map_or("no configuration file".to_owned(), line);
        say("granted here", &format!("{} ({place})", or_nothing(&self.granted.join(" "))));
        if !self.config_keys.is_empty() {
            say("config keys", &line(&self.config_keys.join(" ")));
        }
        if let Some(url) = &self.mail_url {
            say("mail server", &line(url));
        }
        self.warnings.iter().for_each(|warning| say("warning", warning));
        say("runs here", if self.runs { "yes" } else { "no" });
        // The last one is said as any error is.
        for What { what, help } in self.errors.iter().rev().skip(1) {
            say("error", what);
            help.iter().for_each(|help| say("", &format!("help: {help}")));
        }
        text
    }
}

impl Reads {
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
            None => format!("{} in its place", seconds(tier)),
        };
        let tiers: Vec<_> = self.tiers.iter().map(tier).collect();
        let tiers = if tiers.is_empty() { String::new() } else { format!(": {}", tiers.join(", ")) };
        vec![
            ("topic", line(&self.topic)),
            ("group", line(&self.group)),
            ("ordering", self.ordering.unwrap_or("unknown").to_owned()),
            ("retries", format!("{}{tiers}", self.retries)),
            ("dead letters", line(&self.dead_letter_topic)),
        ]
    }
}

/// As it runs here; else as it would with these settings; else as it describes itself.
fn reads(
    described: &Result<Description, UserError>,
    runs: &Result<Vec<Subscriber>, UserError>,
    settings: Option<&PluginSettings>,
) -> Option<Reads> {
    if let Some(plugin) = runs.as_ref().ok().and_then(|plugins| plugins.first()) {
        return Some(Reads::of(&plugin.subscription));
    }
    let described = &described.as_ref().ok()?.subscription;
    Some(match Subscription::new(described.clone(), settings) {
        Ok(subscription) => Reads::of(&subscription),
        Err(_) => Reads {
            topic: described.topic.clone(),
            group: described.group.clone(),
            dead_letter_topic: described.dead_letter_topic.clone(),
            ordering: None,
            retries: described.retry.retries,
            tiers: Vec::new(),
        },
    })
}

/// By where they come from; the contract's without its name.
fn grouped(imports: &[String]) -> BTreeMap<&'static str, Vec<String>> {
    let mut groups: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for name in imports {
        let (group, name) = if let Some(own) = name.strip_prefix(PACKAGE) {
            ("contract", own.trim_start_matches('/'))
        } else if let Some(http) = name.strip_prefix("wasi:http/") {
            ("http", http)
        } else if let Some(wasi) = name.strip_prefix("wasi:") {
            ("wasi", wasi)
        } else {
            ("other", name.as_str())
        };
        groups.entry(group).or_default().push(line(name));
    }
    groups
}

fn or_nothing(text: &str) -> String {
    if text.is_empty() { "nothing".to_owned() } else { text.to_owned() }
}

fn line(text: &str) -> String {
    text::line(text.as_bytes())
}
