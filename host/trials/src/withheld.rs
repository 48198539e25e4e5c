//! What a build does not get in a trial, unless it is the build that the host runs.
//!
//! Anybody with access to the desk may upload a build and read what it returns.

use std::sync::Arc;

use settings::{Allow, PluginSettings, Value};

/// The value of a withheld secret.
pub const PLACEHOLDER: &str = "withheld-in-trials";
/// Parts of names whose values are secret even if they stand in the configuration as text.
const SECRET: [&str; 6] = ["secret", "token", "password", "passphrase", "credential", "key"];

/// A plugin that the host runs.
#[derive(Debug, Clone)]
pub struct InstalledPlugin {
    /// Its name.
    pub name: Arc<str>,
    /// SHA-256 of its file, in hexadecimal.
    pub digest: String,
    /// Its settings on this host; None if it has none, as one that is named on the command line.
    pub settings: Option<PluginSettings>,
}

/// The settings of a plugin for a trial.
#[derive(Debug)]
pub(super) struct TrialSettings {
    pub name: Arc<str>,
    pub settings: Option<PluginSettings>,
    /// What was replaced or removed, such as `config.api-key` and `env:TZ`.
    pub withheld: Vec<String>,
}

impl TrialSettings {
    /// The settings for a build with this digest.
    pub fn new(plugin: &InstalledPlugin, digest: &str) -> Self {
        let (name, mut settings) = (Arc::clone(&plugin.name), plugin.settings.clone());
        let withheld = match &mut settings {
            Some(settings) if plugin.digest != digest => withhold(settings),
            _ => Vec::new(),
        };
        Self { name, settings, withheld }
    }
}

/// Replaces secrets, and removes variables and directories. Returns their names.
fn withhold(settings: &mut PluginSettings) -> Vec<String> {
    let mut withheld = Vec::new();
    for (name, value) in &mut settings.config {
        if is_secret(name, value) {
            *value = Value::Text(PLACEHOLDER.to_owned());
            withheld.push(format!("config.{name}"));
        }
    }
    settings.allow.retain(|allow| {
        let is_kept = matches!(allow, Allow::Capability(_));
        if !is_kept {
            withheld.push(allow.to_string());
        }
        is_kept
    });
    withheld
}

/// Secrets are kept in the environment or in files. Other texts, such as the name of a gateway, are not secret.
fn is_secret(name: &str, value: &Value) -> bool {
    let name = name.to_ascii_lowercase();
    !matches!(value, Value::Text(_)) || SECRET.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin() -> InstalledPlugin {
        let text = "[[plugin]]\npath = \"a.wasm\"\ntopic = \"t\"\nallow = [\"env:PATH\", \"dir:/etc\"]\n\
            [plugin.config]\ngateway = \"solapi\"\nsender = { env = \"PATH\" }\nlist = { file = \"/etc/passwd\" }\n\
            api-key = \"hush\"";
        let settings = settings::File::parse(text, &[]).expect("settings").plugins.remove(0);
        InstalledPlugin { name: "a".into(), digest: "d1".to_owned(), settings: Some(settings) }
    }

    #[test]
    fn another_build_gets_no_secrets_variables_or_directories() {
        let TrialSettings { settings, withheld, .. } = TrialSettings::new(&plugin(), "d2");
        let settings = settings.expect("settings");
        assert_eq!(withheld, ["config.api-key", "config.list", "config.sender", "env:PATH", "dir:/etc"]);
        assert!(settings.allow.is_empty());
        let values =
            ["gateway", "sender", "list", "api-key"].map(|name| settings.config[name].read(name).ok());
        let values: Vec<&str> = values.iter().map(|value| value.as_deref().expect("a text")).collect();
        assert_eq!(values, ["solapi", PLACEHOLDER, PLACEHOLDER, PLACEHOLDER]);
    }

    #[test]
    fn the_build_that_the_host_runs_gets_everything() {
        let TrialSettings { settings, withheld, .. } = TrialSettings::new(&plugin(), "d1");
        let settings = settings.expect("settings");
        assert!(withheld.is_empty() && settings.allow.len() == 2);
        assert_eq!(settings.config["api-key"].read("api-key").expect("a text"), "hush");
    }
}
