//! Capabilities: access beyond the sandbox, for plugins to which it is granted. Each is one folder.
//!
//! The rest of the host uses capabilities only through [`ALL`] and the traits of this module.
//! `docs/guides/adding-a-capability.md` describes how to add one.

pub mod http;
pub mod mail;
#[cfg(test)]
pub mod ping;
pub mod produce;

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use base::error::UserError;
use settings::{Allow, Extension, PluginSettings, RunArgs, Sections};
use wasmtime::component::Linker;

use crate::call::{Call, Services};
use crate::capture::Effect;

/// All capabilities of this host.
pub static ALL: &[&dyn Capability] = &[
    &mail::Mail,
    &http::Http,
    &produce::Produce,
    #[cfg(test)]
    &ping::Ping,
];

/// A capability as the host sees it.
pub trait Capability: Sync {
    /// Its name, also the `kind` of captured effects.
    fn name(&self) -> &'static str;

    /// The imports that it provides, as prefixes of their names that include the supported version. A component that
    /// imports the first one wants the capability.
    fn imports(&self) -> &'static [&'static str];

    /// Provides the imports.
    ///
    /// # Errors
    /// An import is defined already.
    fn link(&self, linker: &mut Linker<Call>) -> wasmtime::Result<()>;

    /// Whether an instance can be reset although the plugin imports the capability: its functions leave nothing in the
    /// instance or the store that outlasts the message, or use [`Call::table`]. The decision record 0104 has a line for
    /// its imports.
    fn permits_reset(&self) -> bool {
        false
    }

    /// Its settings: entries of `allow`, a table, limits.
    fn settings(&self) -> &'static Extension;

    /// The entries of `allow` that apply to plugins of the command line, if there is no `host.toml`.
    fn without_file(&self) -> &'static [&'static str] {
        &[]
    }

    /// The grant of one plugin; None if its settings request none.
    ///
    /// # Errors
    /// The settings contradict each other, or a secret cannot be read.
    fn grant(&self, request: &GrantRequest<'_>) -> Result<Option<Arc<dyn Grant>>, UserError>;

    /// Reads an effect of this capability from JSON, the form in which [`crate::capture::Captured`] writes it.
    ///
    /// # Errors
    /// It has another form.
    fn effect(&self, json: serde_json::Value) -> serde_json::Result<Arc<dyn Effect>>;

    /// The text of the start-up summary for a plugin that wants the capability without a grant.
    fn not_granted(&self) -> &'static str;

    /// The warning of `host plugin inspect` for a plugin that wants the capability but cannot fully use it.
    fn warning(&self, is_granted: bool, args: &RunArgs) -> Option<String>;

    /// Describes its metrics to the recorder.
    fn describe_metrics(&self) {}
}

/// The grant of a capability to one plugin. The capability gets its own type through
/// [`crate::grants::Grants::get`].
pub trait Grant: Any + Debug + Send + Sync {
    /// Whether calls can have effects outside the process. Dry runs ignore it.
    fn has_effects(&self) -> bool;

    /// Whether the capability ends calls through [`crate::call_end::EndSignal`]: outside of a host function that
    /// could return an error.
    fn signals_end(&self) -> bool {
        false
    }

    /// The text of the start-up summary.
    fn summary(&self) -> String;
}

/// The settings and services for a grant.
pub struct GrantRequest<'a> {
    /// The capability's own entries of `allow`.
    pub allow: Vec<&'a str>,
    /// The tables of the plugin.
    pub sections: &'a Sections,
    /// The services that perform effects. None for dry runs and checks: a grant without services sends nothing.
    pub services: Option<&'a Services>,
}

/// The settings of all capabilities, for `host.toml` and its reference.
pub fn extensions() -> Vec<&'static Extension> {
    ALL.iter().map(|capability| capability.settings()).collect()
}

/// Describes the metrics of all capabilities to the recorder.
pub fn describe_metrics() {
    ALL.iter().for_each(|capability| capability.describe_metrics());
}

/// Whether a capability provides this import.
pub(crate) fn is_provided(import: &str) -> bool {
    ALL.iter().any(|capability| capability.imports().iter().any(|known| import.starts_with(known)))
}

/// Whether an instance can be reset with this import of a capability.
pub(crate) fn permit_reset(import: &str) -> bool {
    let provides =
        |capability: &&dyn Capability| capability.imports().iter().any(|known| import.starts_with(known));
    ALL.iter().filter(|capability| provides(capability)).any(|capability| capability.permits_reset())
}

/// The capabilities that a component with these imports wants.
pub(crate) fn wanted(imports: &[String]) -> Vec<&'static dyn Capability> {
    let name = |import: &str| import.split('@').next().unwrap_or_default().to_owned();
    let interface = |name: &str| name.split_once('/').map(|(_, interface)| interface.to_owned());
    let wants = |capability: &&&dyn Capability| {
        let own: Vec<String> = capability.imports().iter().map(|import| name(import)).collect();
        // The first one, also by the name of an earlier contract; others have types only.
        let first = own.first().and_then(|first| interface(first));
        imports.iter().any(|import| own.contains(&name(import)) && interface(&name(import)) == first)
    };
    ALL.iter().filter(wants).copied().collect()
}

/// The capability whose imports are in the package of this one, with the name of the import inside the package.
pub fn by_import(import: &str) -> Option<(&'static str, &str)> {
    ALL.iter().find_map(|capability| {
        let (package, _) = capability.imports().first()?.split_once('/')?;
        Some((capability.name(), import.strip_prefix(package)?.strip_prefix('/')?))
    })
}

/// The entries of `allow` that belong to a capability.
pub(crate) fn allow_entries<'a>(
    capability: &dyn Capability,
    settings: Option<&'a PluginSettings>,
) -> Vec<&'a str> {
    let Some(settings) = settings else { return capability.without_file().to_vec() };
    let is_own = |text: &&str| capability.settings().allow.iter().any(|entry| (entry.matches)(text));
    let entries = settings.allow.iter().filter_map(|allow| match allow {
        Allow::Capability(text) => Some(text.as_str()),
        Allow::Env(_) | Allow::Directory(_) => None,
    });
    entries.filter(is_own).collect()
}

/// Whether these settings grant a capability to a plugin.
pub fn is_granted(capability: &dyn Capability, settings: Option<&PluginSettings>) -> bool {
    let grants =
        |text: &str| capability.settings().allow.iter().any(|entry| entry.grants && (entry.matches)(text));
    allow_entries(capability, settings).into_iter().any(grants)
}

/// The entries of `allow` that apply to a plugin, as text.
pub fn granted(settings: Option<&PluginSettings>) -> Vec<String> {
    match settings {
        Some(settings) => settings.allow.iter().map(ToString::to_string).collect(),
        None => {
            ALL.iter().flat_map(|capability| capability.without_file()).map(|&entry| entry.into()).collect()
        }
    }
}
