//! What one plugin may reach: nothing, unless its configuration lists it.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error as _};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use super::http::Outbound;
use super::limits::Limits;
use super::mail::grant::MailGrant;
use crate::config::plugin::Unsettled;
use crate::config::{MailSettings, PluginSettings};
use crate::error::Failure;
use crate::http::client::Client;
use crate::http::credentials::Credentials;
use crate::http::target::Target;

/// One entry of `allow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allow {
    /// Sending e-mail.
    Mail,
    /// HTTP requests to a URL and all below it.
    Http(Target),
    /// Addresses that are not public, for those requests.
    Network(IpNet),
    /// A variable of the environment.
    Env(String),
    /// A directory and all below it, to be read.
    Directory(PathBuf),
}

impl Allow {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "mail" => Ok(Self::Mail),
            Some(("env", name)) if !name.is_empty() && !name.contains(['=', '\0']) => {
                Ok(Self::Env(name.to_owned()))
            }
            Some(("http" | "https", _)) => Target::parse(text).map(Self::Http),
            Some(("network", network)) => Self::network(network),
            Some(("dir", path)) if !path.is_empty() => Ok(Self::Directory(path.into())),
            _ => Err(format!(
                "{text:?} is not something to allow: `mail`, a URL, `network:CIDR`, `env:NAME` or `dir:PATH`"
            )),
        }
    }

    fn network(text: &str) -> Result<Self, String> {
        let network: IpNet =
            text.parse().map_err(|_| format!("{text:?} is not a network: `network:10.0.0.0/8`"))?;
        if network.trunc() != network {
            return Err(format!("{text:?} is not a network; did you mean {}?", network.trunc()));
        }
        Ok(Self::Network(network))
    }

    /// Directories are seen from that of the configuration file.
    pub fn seen_from(&mut self, directory: &Path) {
        if let Self::Directory(path) = self {
            *path = directory.join(&path);
        }
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mail => f.write_str("mail"),
            Self::Http(target) => target.fmt(f),
            Self::Network(network) => write!(f, "network:{network}"),
            Self::Env(name) => write!(f, "env:{name}"),
            Self::Directory(path) => write!(f, "dir:{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for Allow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

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
    pub fn new(settings: Option<&PluginSettings>) -> Result<Self, Failure> {
        let Some(settings) = settings else {
            return Ok(Self { mail: Some(Arc::default()), ..Self::default() });
        };
        let mut grants =
            Self { limits: Limits::new(&settings.limits).map_err(Failure::usage)?, ..Self::default() };
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
                    return Err(Failure::usage(what).help("make it, or take it out of the plugin's `allow`"));
                }
            }
        }
        if !targets.is_empty() {
            let credentials = Credentials::all(&settings.http, &targets)?;
            grants.http = Some(Arc::new(Outbound::new(targets, credentials)));
            grants.networks = networks;
        } else if !settings.http.is_empty() {
            let what = "plugin.http is for requests, and `allow` lists no URL";
            return Err(Failure::usage(what).help("add the URL to the plugin's `allow`"));
        } else if !networks.is_empty() {
            let what = "`allow` lists a network, but no URL whose host may be there";
            return Err(Failure::usage(what).help("add the URL to the plugin's `allow`"));
        }
        if grants.mail.is_none() && settings.mail != MailSettings::default() {
            let what =
                "plugin.mail says which e-mails may be sent, and `mail` is not in the plugin's `allow`";
            return Err(Failure::usage(what).help("write allow = [\"mail\"], or take [plugin.mail] out"));
        }
        Ok(grants)
    }

    /// Gives its requests what sends them.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn connect(&mut self) -> Result<(), Failure> {
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
    fn what_can_be_allowed() {
        assert_eq!(Allow::parse("mail"), Ok(Allow::Mail));
        assert_eq!(Allow::parse("env:TZ"), Ok(Allow::Env("TZ".into())));
        assert_eq!(Allow::parse("dir:/etc/x"), Ok(Allow::Directory("/etc/x".into())));
        for wrong in ["", "all", "Mail", "env:", "env:A=B", "dir:", "ftp://a"] {
            assert!(Allow::parse(wrong).is_err(), "{wrong}");
        }
    }

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
