//! Capabilities: what plugins can reach beyond their sandbox, where it is granted. Each is one folder.
//!
//! The rest of the host knows capabilities only through [`ALL`] and the traits of this module. How to add one is
//! described in `docs/guides/adding-a-capability.md`.

pub mod http;
pub mod mail;
#[cfg(test)]
pub mod ping;

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
    #[cfg(test)]
    &ping::Ping,
];

/// A capability as the host sees it.
pub trait Capability: Sync {
    /// Its name, for people and as the `kind` of captured effects.
    fn name(&self) -> &'static str;

    /// The imports that it provides: the beginnings of their names, including the version as far as it matters. A
    /// component that imports the first one wants the capability.
    fn imports(&self) -> &'static [&'static str];

    /// Provides the imports.
    ///
    /// # Errors
    /// An import is defined already.
    fn link(&self, linker: &mut Linker<Call>) -> wasmtime::Result<()>;

    /// Its settings: entries of `allow`, a table, limits.
    fn settings(&self) -> &'static Extension;

    /// The entries of `allow` that apply to plugins of the command line, if there is no `host.toml`.
    fn without_file(&self) -> &'static [&'static str] {
        &[]
    }

    /// The grant of one plugin; None if it asks for none.
    ///
    /// # Errors
    /// The settings are impossible together, or a secret cannot be read.
    fn grant(&self, request: &GrantRequest<'_>) -> Result<Option<Arc<dyn Grant>>, UserError>;

    /// Reads an effect of this capability from JSON, the form in which [`crate::capture::Captured`] writes it.
    ///
    /// # Errors
    /// It has another form.
    fn effect(&self, json: serde_json::Value) -> serde_json::Result<Arc<dyn Effect>>;

    /// What the start-up summary says of a plugin that wants the capability without a grant.
    fn not_granted(&self) -> &'static str;

    /// What `host plugin inspect` says of a plugin that wants the capability but cannot use it fully.
    fn warning(&self, is_granted: bool, args: &RunArgs) -> Option<String>;

    /// Describes its metrics to the recorder.
    fn describe_metrics(&self) {}
}

/// What one plugin was granted of a capability. The capability gets its own type back through
/// [`crate::grants::Grants::get`].
pub trait Grant: Any + Debug + Send + Sync {
    /// Whether calls can have effects outside the process, apart from dry runs, where this is not asked.
    fn has_effects(&self) -> bool;

    /// Whether the capability ends calls through [`crate::call_end::EndSignal`]: outside of a host function that
    /// could return an error.
    fn signals_end(&self) -> bool {
        false
    }

    /// What the start-up summary says of a plugin that wants the capability.
    fn summary(&self) -> String;
}

/// What a grant is made of.
pub struct GrantRequest<'a> {
    /// The capability's own entries of `allow`.
    pub words: Vec<&'a str>,
    /// The tables of the plugin.
    pub sections: &'a Sections,
    /// The host's side, where effects are to be performed. None for dry runs and checks: a grant without it has
    /// nothing to send with.
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

/// Whether a component with this import gets it from a capability.
pub(crate) fn provide(import: &str) -> bool {
    ALL.iter().any(|capability| capability.imports().iter().any(|known| import.starts_with(known)))
}

/// The capabilities that a component with these imports wants.
pub(crate) fn wanted(imports: &[String]) -> Vec<&'static dyn Capability> {
    let name = |import: &str| import.split('@').next().unwrap_or_default().to_owned();
    let wants = |capability: &&&dyn Capability| {
        let first = capability.imports().first().map(|import| name(import));
        imports.iter().any(|import| Some(name(import)) == first)
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
pub(crate) fn words<'a>(capability: &dyn Capability, settings: Option<&'a PluginSettings>) -> Vec<&'a str> {
    let Some(settings) = settings else { return capability.without_file().to_vec() };
    let is_own = |text: &&str| capability.settings().words.iter().any(|word| (word.matches)(text));
    let words = settings.allow.iter().filter_map(|allow| match allow {
        Allow::Word(text) => Some(text.as_str()),
        Allow::Env(_) | Allow::Directory(_) => None,
    });
    words.filter(is_own).collect()
}

/// Whether these settings grant a capability to a plugin.
pub fn is_granted(capability: &dyn Capability, settings: Option<&PluginSettings>) -> bool {
    let grants =
        |text: &str| capability.settings().words.iter().any(|word| word.grants && (word.matches)(text));
    words(capability, settings).into_iter().any(grants)
}

/// The entries of `allow` as they apply to a plugin, for people.
pub fn granted(settings: Option<&PluginSettings>) -> Vec<String> {
    match settings {
        Some(settings) => settings.allow.iter().map(ToString::to_string).collect(),
        None => {
            ALL.iter().flat_map(|capability| capability.without_file()).map(|&word| word.into()).collect()
        }
    }
}
