//! A plugin and what it subscribes to.

use std::path::Path;

use base::error::UserError;
use contract::{Message, Outcome};
use sandbox::Plugin;
use sandbox::call::Outside;
use sandbox::cause::Cause;
use sandbox::engine::Engines;
use sandbox::file::{PluginFile, described_wrongly};
use sandbox::load::Loaded;
use sandbox::output::Place;
use settings::PluginSettings;

use crate::Subscription;

/// A plugin with the topic it reads, and what becomes of failures.
pub struct Subscriber {
    /// What handles messages.
    pub plugin: Plugin,
    /// Which messages, and what becomes of failures.
    pub subscription: Subscription,
}

impl Subscriber {
    /// Reads, compiles (or takes from the cache) and asks the plugin what it subscribes to; `settings` take
    /// precedence.
    ///
    /// # Errors
    /// What is wrong with the file, and what to do about it.
    pub async fn load(
        path: &Path,
        settings: Option<&PluginSettings>,
        engines: &Engines,
        outside: Outside,
    ) -> Result<Self, UserError> {
        Self::of(PluginFile::read(path, engines)?, |_| settings, outside).await
    }

    /// Asks a file that was read; `settings` are looked up by the name that the plugin gives itself.
    ///
    /// # Errors
    /// What is wrong with it, and what to do about it.
    pub async fn of<'a>(
        file: PluginFile,
        settings: impl FnOnce(&str) -> Option<&'a PluginSettings>,
        outside: Outside,
    ) -> Result<Self, UserError> {
        let path = file.path().to_owned();
        let Loaded { plugin, described, settings } = Plugin::load(file, settings, outside).await?;
        let subscription = Subscription::new(described, settings)
            .map_err(|what| described_wrongly(&path, &what, settings))?;
        Ok(Self { plugin, subscription })
    }

    /// Gives it one message.
    ///
    /// # Errors
    /// See [`Plugin::handle`].
    pub async fn handle(&self, message: Message<'_>, place: Place) -> Result<Outcome, Cause> {
        self.plugin.handle(&self.subscription.group, message, place).await
    }
}
