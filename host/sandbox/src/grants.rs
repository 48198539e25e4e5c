//! The permissions of one plugin: none, unless its settings list them.

use std::any::Any;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use base::error::UserError;
use settings::plugin::Unsettled;
use settings::{Allow, PluginSettings};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use crate::call::Services;
use crate::capabilities::{self, Capability, Grant, GrantRequest};
use crate::limits::Limits;

/// The permissions and limits of one plugin.
#[derive(Debug, Default)]
pub struct Grants {
    /// The values of its configuration.
    pub config: HashMap<String, String>,
    /// The handling of an effect that is in doubt.
    pub unsettled: Unsettled,
    /// The limits of one call.
    pub limits: Limits,
    /// The grants of capabilities, by their names.
    capabilities: Vec<(&'static str, Arc<dyn Grant>)>,
    environment: Vec<(String, String)>,
    directories: Vec<PathBuf>,
}

impl Grants {
    /// The permissions of these settings. Without `services`, no effects are performed.
    ///
    /// # Errors
    /// Settings are invalid, or refer to a variable, a file or a directory that does not exist.
    pub fn new(settings: Option<&PluginSettings>, services: Option<&Services>) -> Result<Self, UserError> {
        let mut grants = match settings {
            Some(settings) => Self::without_capabilities(settings)?,
            None => Self::default(),
        };
        let sections = settings.map(|settings| &settings.sections).cloned().unwrap_or_default();
        for capability in capabilities::ALL {
            let allow = capabilities::allow_entries(*capability, settings);
            let request = GrantRequest { allow, sections: &sections, services };
            let grant = capability.grant(&request)?;
            grants.capabilities.extend(grant.map(|grant| (capability.name(), grant)));
        }
        Ok(grants)
    }

    fn without_capabilities(settings: &PluginSettings) -> Result<Self, UserError> {
        let mut grants =
            Self { limits: Limits::new(&settings.limits).map_err(UserError::usage)?, ..Self::default() };
        grants.unsettled = settings.unsettled.unwrap_or_default();
        for (key, value) in &settings.config {
            grants.config.insert(key.clone(), value.read(&format!("plugin.config.{key}"))?);
        }
        for allow in &settings.allow {
            match allow {
                Allow::Capability(_) => {}
                // A variable that is not set does not exist for the plugin either.
                Allow::Env(name) => {
                    grants.environment.extend(std::env::var(name).ok().map(|value| (name.clone(), value)));
                }
                Allow::Directory(path) if path.is_dir() => grants.directories.push(path.clone()),
                Allow::Directory(path) => {
                    let problem = format!("allow: {} is not a directory", path.display());
                    return Err(
                        UserError::usage(problem).help("create it, or remove it from the plugin's `allow`")
                    );
                }
            }
        }
        Ok(grants)
    }

    /// The grant of a capability, for the capability itself.
    pub fn get<T: Grant>(&self) -> Option<Arc<T>> {
        self.capabilities.iter().find_map(|(_, grant)| {
            let grant: Arc<dyn Any + Send + Sync> = Arc::<dyn Grant>::clone(grant);
            grant.downcast().ok()
        })
    }

    /// The grant of a capability.
    pub fn of(&self, capability: &dyn Capability) -> Option<&dyn Grant> {
        let name = capability.name();
        self.capabilities.iter().find(|(other, _)| *other == name).map(|(_, grant)| &**grant)
    }

    /// Adds the environment, and the directories under their own paths.
    ///
    /// # Errors
    /// A directory no longer exists.
    pub fn open(&self, wasi: &mut WasiCtxBuilder) -> wasmtime::Result<()> {
        wasi.envs(&self.environment);
        for path in &self.directories {
            wasi.preopened_dir(path, path.to_string_lossy(), FsPerms::ReadOnly)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::mail::MailGrant;

    fn grants(allow: Vec<Allow>) -> Result<Grants, UserError> {
        Grants::new(Some(&PluginSettings { allow, ..PluginSettings::default() }), None)
    }

    #[test]
    fn nothing_is_granted_unless_listed() {
        let none = grants(vec![]).expect("grants");
        assert!(none.capabilities.is_empty() && none.environment.is_empty() && none.directories.is_empty());
        let allow = vec![Allow::Env("HOST_TEST_NO_SUCH_VARIABLE".into()), Allow::Env("PATH".into())];
        let listed = grants(allow).expect("grants");
        assert_eq!(listed.environment, [("PATH".to_owned(), std::env::var("PATH").expect("a path"))]);
        let refused = grants(vec![Allow::Directory("/no/such/directory".into())]);
        assert!(refused.expect_err("missing").to_string().contains("/no/such/directory"));
    }

    #[test]
    fn a_capability_finds_its_own_grant() {
        let granted = grants(vec![Allow::Capability("mail".into())]).expect("grants");
        assert!(granted.get::<MailGrant>().is_some() && granted.of(&capabilities::mail::Mail).is_some());
        assert!(granted.of(&capabilities::http::Http).is_none());
    }
}
