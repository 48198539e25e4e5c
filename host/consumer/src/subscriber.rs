//! A plugin with its subscription.

use std::path::Path;

use base::error::UserError;
use contract::{Message, Outcome};
use sandbox::Plugin;
use sandbox::call::Outside;
use sandbox::cause::Cause;
use sandbox::engine::Engines;
use sandbox::file::{PluginFile, invalid_description};
use sandbox::load::Loaded;
use sandbox::output::Place;
use settings::PluginSettings;

use crate::Subscription;

/// A plugin with its subscription.
pub struct Subscriber {
    /// The plugin.
    pub plugin: Plugin,
    /// The topics, the consumer group and the retry policy.
    pub subscription: Subscription,
}

impl Subscriber {
    /// Loads a plugin from its file, compiled or from the cache. `settings` override the subscription that
    /// the plugin describes.
    ///
    /// # Errors
    /// The file or the settings are invalid.
    pub async fn load(
        path: &Path,
        settings: Option<&PluginSettings>,
        engines: &Engines,
        outside: Outside,
    ) -> Result<Self, UserError> {
        Self::of(PluginFile::read(path, engines)?, |_| settings, outside).await
    }

    /// Loads a plugin from a file that was read. `settings` returns the settings for the plugin's own name.
    ///
    /// # Errors
    /// The file or the settings are invalid.
    pub async fn of<'a>(
        file: PluginFile,
        settings: impl FnOnce(&str) -> Option<&'a PluginSettings>,
        outside: Outside,
    ) -> Result<Self, UserError> {
        let path = file.path().to_owned();
        let Loaded { plugin, described, settings } = Plugin::load(file, settings, outside).await?;
        let subscription = Subscription::new(described, settings)
            .map_err(|problem| invalid_description(&path, &problem, settings))?;
        Ok(Self { plugin, subscription })
    }

    /// Calls the plugin with one message.
    ///
    /// # Errors
    /// See [`Plugin::handle`].
    pub async fn handle(&self, message: Message<'_>, place: Place) -> Result<Outcome, Cause> {
        self.plugin.handle(&self.subscription.group, message, place, std::future::pending::<()>).await
    }
}
