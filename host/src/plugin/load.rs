//! From a file to a plugin: checked before Kafka is ever asked.

use std::path::Path;
use std::sync::Arc;

use super::Plugin;
use super::bindings::exports::consumer::plugin::lifecycle::Description;
use super::call::Outside;
use super::engine::Engines;
use super::file::PluginFile;
use super::grants::Grants;
use super::kept::Kept;
use super::subscription::Subscription;
use crate::config::PluginSettings;
use crate::error::Failure;

impl Plugin {
    /// Reads, compiles (or takes from the cache) and asks the plugin what it subscribes to;
    /// `settings` count more.
    ///
    /// # Errors
    /// What is wrong with the file, and what to do about it.
    pub async fn load(
        path: &Path,
        settings: Option<&PluginSettings>,
        engines: &Engines,
        outside: Outside,
    ) -> Result<Self, Failure> {
        Self::of(PluginFile::read(path, engines)?, |_| settings, outside).await
    }

    /// Likewise, of a file that was read; `settings` are looked up by the name that the plugin gives itself.
    ///
    /// # Errors
    /// What is wrong with it, and what to do about it.
    pub async fn of<'a>(
        file: PluginFile,
        settings: impl FnOnce(&str) -> Option<&'a PluginSettings>,
        outside: Outside,
    ) -> Result<Self, Failure> {
        let path = file.path.display().to_string();
        let at = |what: String| Failure::usage(format!("{path}: {what}"));
        file.check()?;
        let component = file.link()?;
        let Description { name, version, subscription, .. } = file.describe(&component).await?;
        let settings = settings(&name);
        let help = match settings {
            Some(_) => "this is what the plugin's `describe` returns, below what its [[plugin]] says",
            None => "this is what the plugin's `describe` returns; ask whoever wrote it",
        };
        check_names(&name, &version).map_err(|what| at(what).help(help))?;
        let subscription = Subscription::new(subscription, settings).map_err(|what| at(what).help(help))?;
        let within = |failure: Failure| failure.within(&path);
        let mut grants = Grants::new(settings).map_err(within)?;
        if let Outside::Sent(_) = outside {
            grants.connect().map_err(within)?;
        }
        let kept = Kept::new(settings.and_then(|settings| settings.isolation).unwrap_or_default());
        Ok(Self {
            label: format!("{name}@{version}"),
            name: name.into(),
            wants_mail: file.wants_mail(),
            wants_http: file.wants_http(),
            digest: file.digest,
            subscription,
            engine: file.engine,
            component,
            grants: Arc::new(grants),
            outside,
            kept,
        })
    }
}

fn check_names(name: &str, version: &str) -> Result<(), String> {
    for (what, text) in [("name", name), ("version", version)] {
        if text.is_empty() || text.len() > 200 || text.contains(char::is_control) {
            return Err(format!("its {what} is empty, too long or holds control characters"));
        }
    }
    Ok(())
}
