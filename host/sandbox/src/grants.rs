//! What one plugin may reach: nothing, unless its configuration lists it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use base::error::UserError;
use ipnet::IpNet;
use settings::plugin::Unsettled;
use settings::{Allow, MailSettings, PluginSettings};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use crate::capabilities::http::Outbound;
use crate::capabilities::http::client::Client;
use crate::capabilities::http::credentials::Credentials;
use crate::capabilities::mail::grant::MailGrant;
use crate::limits::Limits;

/// What one plugin was granted, ready to be asked.
#[derive(Debug, Default)]
pub struct Grants {
    /// Values of its configuration.
    pub config: HashMap<String, String>,
    /// Whether it may send e-mail, and which.
    pub mail: Option<Arc<MailGrant>>,
    /// Where it may send HTTP requests.
    pub http: Option<Arc<Outbound>>,
    /// What sends them; None until they are to be sent.
    pub client: Option<Client>,
    /// What becomes of an effect that may have happened.
    pub unsettled: Unsettled,
    /// What one of its calls may use up.
    pub limits: Limits,
    networks: Vec<IpNet>,
    environment: Vec<(String, String)>,
    directories: Vec<PathBuf>,
}

impl Grants {
    /// What the configuration says of the plugin. Without a configuration file, whoever gives a
    /// plugin and a mail server on the command line means one for the other.
    ///
    /// # Errors
    /// What is not possible, or is not there.
    pub fn new(settings: Option<&PluginSettings>) -> Result<Self, UserError> {
        let Some(settings) = settings else {
            return Ok(Self { mail: Some(Arc::default()), ..Self::default() });
        };
        let mut grants =
            Self { limits: Limits::new(&settings.limits).map_err(UserError::usage)?, ..Self::default() };
        grants.unsettled = settings.unsettled.unwrap_or_default();
        for (key, value) in &settings.config {
            grants.config.insert(key.clone(), value.read(&format!("plugin.config.{key}"))?);
        }
        let (mut targets, mut networks) = (Vec::new(), Vec::new());
        for allow in &settings.allow {
            match allow {
                Allow::Mail => grants.mail = Some(Arc::new(MailGrant::new(&settings.mail))),
                Allow::Http(target) => targets.push(target.clone()),
                Allow::Network(network) => networks.push(*network),
                // One that is not set is not there for the plugin either.
                Allow::Env(name) => {
                    grants.environment.extend(std::env::var(name).ok().map(|value| (name.clone(), value)));
                }
                Allow::Directory(path) if path.is_dir() => grants.directories.push(path.clone()),
                Allow::Directory(path) => {
                    let what = format!("allow: {} is not a directory", path.display());
                    return Err(
                        UserError::usage(what).help("make it, or take it out of the plugin's `allow`")
                    );
                }
            }
        }
        if !targets.is_empty() {
            let credentials = Credentials::all(&settings.http, &targets)?;
            grants.http = Some(Arc::new(Outbound::new(targets, credentials)));
            grants.networks = networks;
        } else if !settings.http.is_empty() {
            let what = "plugin.http is for requests, and `allow` lists no URL";
            return Err(UserError::usage(what).help("add the URL to the plugin's `allow`"));
        } else if !networks.is_empty() {
            let what = "`allow` lists a network, but no URL whose host may be there";
            return Err(UserError::usage(what).help("add the URL to the plugin's `allow`"));
        }
        if grants.mail.is_none() && settings.mail != MailSettings::default() {
            let what =
                "plugin.mail says which e-mails may be sent, and `mail` is not in the plugin's `allow`";
            return Err(UserError::usage(what).help("write allow = [\"mail\"], or take [plugin.mail] out"));
        }
        Ok(grants)
    }

    /// Gives its requests what sends them.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn connect(&mut self) -> Result<(), UserError> {
        if self.http.is_some() {
            self.client = Some(Client::new(self.networks.clone())?);
        }
        Ok(())
    }

    /// Adds the environment and the directories, each under its own path.
    ///
    /// # Errors
    /// A directory that is there no more.
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

    #[test]
    fn what_is_not_listed_is_not_granted() {
        let grants = Grants::new(Some(&PluginSettings::default())).expect("grants");
        assert!(grants.mail.is_none() && grants.environment.is_empty() && grants.directories.is_empty());
        let allow = vec![Allow::Env("HOST_TEST_NO_SUCH_VARIABLE".into()), Allow::Env("PATH".into())];
        let grants =
            Grants::new(Some(&PluginSettings { allow, ..PluginSettings::default() })).expect("grants");
        assert_eq!(grants.environment, [("PATH".to_owned(), std::env::var("PATH").expect("a path"))]);
        let mail = MailSettings { senders: Some(vec![]), ..MailSettings::default() };
        let refused = Grants::new(Some(&PluginSettings { mail, ..PluginSettings::default() }));
        assert!(
            refused.expect_err("no `mail`").to_string().contains("`mail` is not in the plugin's `allow`")
        );
        let allow = vec![Allow::Directory("/no/such/directory".into())];
        let refused = Grants::new(Some(&PluginSettings { allow, ..PluginSettings::default() }));
        assert!(refused.expect_err("not there").to_string().contains("/no/such/directory"));
    }
}
