//! Cases of a plugin: found, and run one after the other, each in a plugin of its own.

use std::iter;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use base::error::UserError;
use base::text;
use consumer::dry_run::DryRun;
use sandbox::capabilities;
use sandbox::capabilities::http::Responses;
use sandbox::capture::Answers;
use sandbox::engine::Engines;
use sandbox::file::PluginFile;
use sandbox::limits::Limits;
use serde_json::{Map, Value, json};
use settings::{File, PluginSettings, RunArgs};

use crate::case::Case;
use crate::message;
use crate::report::Report;

/// The directory of cases by default.
pub const DIRECTORY: &str = "cases";
/// The maximum number of cases of one run.
const MAX_CASES: usize = 10_000;

/// Reads files, and the `.json` files of directories, in the order of their names.
///
/// # Errors
/// There is none, there are too many, or one is no case.
pub fn read(places: &[PathBuf]) -> Result<Vec<Case>, UserError> {
    let mut paths = Vec::new();
    for place in places {
        match place.is_dir() {
            true => paths.extend(files(place)?),
            false => paths.push(place.clone()),
        }
    }
    if paths.len() > MAX_CASES {
        return Err(UserError::usage(format!("{} cases are more than {MAX_CASES}", paths.len()))
            .help("name fewer of them: host plugin test FILE.wasm CASES"));
    }
    paths.iter().map(|path| Case::read(path)).collect()
}

fn files(directory: &Path) -> Result<Vec<PathBuf>, UserError> {
    let unreadable =
        |error: std::io::Error| UserError::usage(format!("cannot read {}: {error}", directory.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "json") && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// A plugin with its cases.
pub struct Cases<'a> {
    file: PluginFile,
    /// The topic that it handles with the settings of `host.toml`.
    topic: String,
    /// The cases, each with the settings that it runs with.
    pub list: Vec<(&'a Case, Option<PluginSettings>)>,
}

impl<'a> Cases<'a> {
    /// Loads the plugin, the first of `run`.
    ///
    /// # Errors
    /// It cannot be loaded, or the settings of a case are invalid.
    pub async fn load(run: &RunArgs, cases: &'a [Case]) -> Result<Self, UserError> {
        let path = run.plugins.first().map_or(Path::new(""), PathBuf::as_path);
        let base = run.settings_of(0)?;
        let mut list = Vec::with_capacity(cases.len());
        for case in cases {
            let place = case.path.display().to_string();
            list.push((case, settings(case, base).map_err(|error| error.within(&place))?));
        }
        let engines = engines(base, &list)?;
        let file = PluginFile::read(path, &engines)?;
        let plain = DryRun::of(file.clone(), |_| base, Answers::new()).await?;
        let topic = plain.subscription().topic.clone();
        for (_, settings) in &mut list {
            settings.iter_mut().filter(|it| it.topic.is_empty()).for_each(|it| it.topic.clone_from(&topic));
        }
        Ok(Self { file, topic, list })
    }

    /// Runs a case of the list.
    ///
    /// # Errors
    /// Its settings or its message are invalid.
    pub async fn run(&self, case: &Case, settings: Option<&PluginSettings>) -> Result<Report, UserError> {
        let within = |error: UserError| error.within(&case.path.display().to_string());
        let mut answers = Answers::new();
        answers.insert(Responses::from_iter(case.content.http_responses.iter().cloned()));
        let dry = DryRun::of(self.file.clone(), |_| settings, answers).await.map_err(within)?;
        let input = message::read(case.content.message.clone(), dry.subscription()).map_err(|problem| {
            let error = UserError::usage(format!("message: {}", text::line(problem.as_bytes())));
            within(error.help("the fields of a message: docs/guides/testing-a-plugin.md"))
        })?;
        Ok(Report::of(&dry, &input).await)
    }

    /// The topic that the plugin handles.
    pub fn topic(&self) -> &str {
        &self.topic
    }
}

/// The settings that a case runs with: its own `plugin`, or those of `host.toml`; with its own `config`. A topic that it
/// does not name is empty.
fn settings(case: &Case, base: Option<&PluginSettings>) -> Result<Option<PluginSettings>, UserError> {
    let content = &case.content;
    let mut settings = match (&content.plugin, base) {
        (None, _) if content.config.is_empty() => return Ok(base.cloned()),
        (None, Some(base)) => base.clone(),
        (None, None) => listed(&Map::from_iter([("allow".to_owned(), json!(capabilities::granted(None)))]))?,
        (Some(table), _) => listed(table)?,
    };
    let config = content.config.iter().map(|(key, text)| (key.clone(), settings::Value::Text(text.clone())));
    settings.config.extend(config);
    Ok(Some(settings))
}

/// The settings of a `[[plugin]]`, as `host.toml` would have it.
fn listed(table: &Map<String, Value>) -> Result<PluginSettings, UserError> {
    let mut table = table.clone();
    for required in ["path", "topic"] {
        table.entry(required).or_insert_with(|| "".into());
    }
    let invalid = |problem: String| {
        UserError::usage(format!("plugin: {problem}"))
            .help("its keys are those of [[plugin]]: docs/reference/configuration.md")
    };
    let text = toml::to_string(&json!({ "plugin": [table] })).map_err(|error| invalid(error.to_string()))?;
    let file = File::parse(&text, &capabilities::extensions())?;
    file.plugins.into_iter().next().ok_or_else(|| invalid("it is empty".to_owned()))
}

/// Engines for one call at a time, with the largest memory that a case permits.
fn engines(
    base: Option<&PluginSettings>,
    list: &[(&Case, Option<PluginSettings>)],
) -> Result<Engines, UserError> {
    let memory = |settings: &PluginSettings| Limits::new(&settings.limits).map(|limits| limits.memory);
    let all = iter::once(base).chain(list.iter().map(|(_, settings)| settings.as_ref())).flatten();
    let largest = all.max_by_key(|settings| memory(settings).unwrap_or_default()).cloned();
    let one = PluginSettings { concurrency: Some(NonZeroU32::MIN), ..largest.unwrap_or_default() };
    consumer::load::engines(iter::once(Some(&one)))
}
