//! The plugins of the demo: its own, and others beside them or in their place.

use std::path::{Path, PathBuf};

use base::error::UserError;
use base::stderr;
use cli::demo::Args;
use settings::{Allow, File, Found, PluginSettings};

/// The demo's own plugins, with their topics and what they may use.
const OWN: [(&str, &str, &[&str]); 2] =
    [("email.wasm", "email.send", &["mail"]), ("sms.wasm", "sms.send", &[])];

/// The files of the plugins, and the settings of those that `--config` lists.
pub struct Plugins {
    pub files: Vec<PathBuf>,
    pub found: Option<Box<Found>>,
    /// The number of its own among the files, which come first.
    pub own: usize,
}

impl Plugins {
    /// # Errors
    /// A file is missing.
    pub fn find(args: &mut Args) -> Result<Self, UserError> {
        if let Some(missing) = args.others.iter().find(|path| !path.is_file()) {
            return Err(UserError::usage(format!("{} does not exist", missing.display()))
                .help("build the plugin, and name its component: host demo --plugin FILE.wasm"));
        }
        let own = if args.alone { Vec::new() } else { own(args)? };
        let found = args.found.take().map(|found| Box::new(with_own(*found, &own)));
        let count = own.len();
        Ok(Self { files: own.into_iter().chain(args.others.drain(..)).collect(), found, own: count })
    }
}

/// Its own plugins. Without them, a host that was installed alone still runs the others.
fn own(args: &Args) -> Result<Vec<PathBuf>, UserError> {
    let directory = match &args.plugins {
        Some(directory) => directory.clone(),
        None => built().ok_or_else(|| {
            UserError::usage("cannot find the plugins").help("specify their directory: --plugins DIR")
        })?,
    };
    let paths: Vec<PathBuf> = OWN.iter().map(|(name, ..)| directory.join(name)).collect();
    match paths.iter().find(|path| !path.is_file()) {
        None => Ok(paths),
        Some(missing) if args.plugins.is_none() && !args.others.is_empty() => {
            stderr::line(format_args!(
                "without the demo's own plugins: {} does not exist",
                missing.display()
            ));
            Ok(Vec::new())
        }
        Some(missing) => Err(UserError::usage(format!("{} does not exist", missing.display()))
            .help("build the plugins: make build")
            .help("or specify their directory: host demo --plugins DIR")
            .help("or run another plugin: host demo --plugin FILE.wasm --alone")),
    }
}

/// `target/wasm32-wasip2/release`, relative to `target/release/host`.
fn built() -> Option<PathBuf> {
    let executable = std::env::current_exe().ok()?;
    let target = executable.parent().and_then(Path::parent)?;
    Some(target.join("wasm32-wasip2").join("release"))
}

/// The settings of plugins alone: Kafka, mail server and store are the demo's. A file that lists plugins must list all.
fn with_own(found: Found, own: &[PathBuf]) -> Found {
    let Found { path, file } = found;
    let mut plugins = file.plugins;
    if !plugins.is_empty() {
        plugins.extend(own.iter().zip(OWN).map(|(path, (_, topic, allow))| PluginSettings {
            path: path.clone(),
            topic: topic.to_owned(),
            allow: allow.iter().map(|name| Allow::Capability((*name).to_owned())).collect(),
            ..PluginSettings::default()
        }));
    }
    Found { path, file: File { plugins, ..File::default() } }
}
