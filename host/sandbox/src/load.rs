//! From a file to a plugin. Everything is checked before Kafka is contacted.

use std::sync::Arc;

use base::error::UserError;
use contract::{Description, Subscription};
use settings::PluginSettings;
use settings::plugin::Isolation;

use crate::Plugin;
use crate::batch;
use crate::call::Outside;
use crate::capabilities;
use crate::file::PluginFile;
use crate::grants::Grants;
use crate::instance_pool::{InstancePool, Reuse};

/// A plugin with its own description.
pub struct Loaded<'a> {
    /// Ready to be called.
    pub plugin: Plugin,
    /// The subscription that it describes.
    pub described: Subscription,
    /// Its settings, if it has any.
    pub settings: Option<&'a PluginSettings>,
}

impl Plugin {
    /// Loads a plugin. Its settings are looked up by its own name.
    ///
    /// # Errors
    /// The file or its settings are invalid.
    pub async fn load<'a>(
        mut file: PluginFile,
        settings: impl FnOnce(&str) -> Option<&'a PluginSettings>,
        outside: Outside,
    ) -> Result<Loaded<'a>, UserError> {
        file.check()?;
        let mut component = file.link()?;
        let Description { name, version, subscription, attributes, .. } = file.describe(&component).await?;
        let settings = settings(&name);
        let max_batch = batch::permitted(&attributes).and_then(|permitted| batch::max(permitted, settings));
        let max_batch = max_batch.map_err(|problem| file.invalid_description(&problem, settings))?;
        check_names(&name, &version).map_err(|problem| file.invalid_description(&problem, settings))?;
        let within = |failure: UserError| failure.within(&file.path().display().to_string());
        let grants = Grants::new(settings, outside.services().map(|services| &**services)).map_err(within)?;
        let wants = capabilities::wanted(&file.imports);
        let is_dry = outside.services().is_none();
        let granted = || wants.iter().filter_map(|capability| grants.of(*capability));
        let isolation = settings.and_then(|settings| settings.isolation).unwrap_or_default();
        if isolation != Isolation::Message && file.not_reset.is_none() {
            component = file.without_reset()?;
        }
        let has_effects = granted().any(|grant| is_dry || grant.has_effects());
        let pool = InstancePool::new(isolation, file.not_reset.is_none());
        let shares = pool.reuse() != Reuse::Never && !has_effects;
        let plugin = Self {
            label: format!("{name}@{version}"),
            name: name.into(),
            contract: file.contracts().into_iter().map(|(_, version)| version).collect::<Vec<_>>().join(", "),
            digest: file.digest,
            engine: file.engine,
            memory: file.memory,
            epochs: file.epochs,
            component,
            has_effects,
            max_batch: if shares { max_batch } else { 1 },
            signals_end: granted().any(|grant| grant.signals_end()),
            wants,
            grants: Arc::new(grants),
            outside,
            isolation,
            pool,
            not_reset: file.not_reset,
        };
        Ok(Loaded { plugin, described: subscription, settings })
    }
}

fn check_names(name: &str, version: &str) -> Result<(), String> {
    for (field, text) in [("name", name), ("version", version)] {
        if text.is_empty() || text.len() > 200 || text.contains(char::is_control) {
            return Err(format!(
                "its {field} is empty, longer than 200 bytes or contains control characters"
            ));
        }
    }
    Ok(())
}
