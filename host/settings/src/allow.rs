//! `allow`: what a plugin may reach.

use std::fmt;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::target::Target;

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
}
