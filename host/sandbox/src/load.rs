//! From a file to a plugin: checked before Kafka is ever asked.

use std::sync::Arc;

use base::error::UserError;
use contract::{Description, Subscription};
use settings::PluginSettings;

use crate::Plugin;
use crate::call::Outside;
use crate::file::PluginFile;
use crate::grants::Grants;
use crate::instance_pool::InstancePool;

/// A plugin, with what it asks for.
pub struct Loaded<'a> {
    /// Ready to be called.
    pub plugin: Plugin,
    /// The subscription that it describes.
    pub described: Subscription,
    /// The settings that it was loaded with.
    pub settings: Option<&'a PluginSettings>,
}

impl Plugin {
    /// Asks a file what it is. `settings` are looked up by the name that the plugin gives itself.
    ///
    /// # Errors
    /// What is wrong with it, and what to do about it.
    pub async fn load<'a>(
        file: PluginFile,
        settings: impl FnOnce(&str) -> Option<&'a PluginSettings>,
        outside: Outside,
    ) -> Result<Loaded<'a>, UserError> {
        file.check()?;
        let component = file.link()?;
        let Description { name, version, subscription, .. } = file.describe(&component).await?;
        let settings = settings(&name);
        check_names(&name, &version).map_err(|what| file.described_wrongly(&what, settings))?;
        let within = |failure: UserError| failure.within(&file.path().display().to_string());
        let mut grants = Grants::new(settings).map_err(within)?;
        if let Outside::Sent(_) = outside {
            grants.connect().map_err(within)?;
        }
        let pool = InstancePool::new(settings.and_then(|settings| settings.isolation).unwrap_or_default());
        let plugin = Self {
            label: format!("{name}@{version}"),
            name: name.into(),
            wants_mail: file.wants_mail(),
            wants_http: file.wants_http(),
            digest: file.digest,
            engine: file.engine,
            component,
            grants: Arc::new(grants),
            outside,
            pool,
        };
        Ok(Loaded { plugin, described: subscription, settings })
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
