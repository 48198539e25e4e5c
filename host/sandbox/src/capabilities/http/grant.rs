//! The grant of `http`: the URLs of one plugin, and the client for them.

use base::error::UserError;
use ipnet::IpNet;

use super::client::Client;
use super::credentials::Credentials;
use super::settings::HttpTables;
use super::target::Target;
use crate::capabilities::Grant;

/// Permission to send HTTP requests to some URLs.
#[derive(Debug)]
pub struct HttpGrant {
    pub(super) targets: Vec<Target>,
    pub(super) credentials: Vec<Credentials>,
    /// None in a dry run.
    pub(super) client: Option<Client>,
}

impl HttpGrant {
    /// Requests to these URLs, with the credentials of `tables`. Addresses that are not public must be in one of
    /// the networks.
    ///
    /// # Errors
    /// Credentials are invalid, or TLS cannot be set up.
    pub fn new(
        targets: Vec<Target>,
        tables: &HttpTables,
        networks: Vec<IpNet>,
        is_dry: bool,
    ) -> Result<Self, UserError> {
        let credentials = Credentials::all(&tables.0, &targets)?;
        let client = if is_dry { None } else { Some(Client::new(networks)?) };
        Ok(Self { targets, credentials, client })
    }
}

impl Grant for HttpGrant {
    fn has_effects(&self) -> bool {
        true
    }

    /// A request has no host function that could return an error.
    fn signals_end(&self) -> bool {
        true
    }

    fn summary(&self) -> String {
        let targets: Vec<_> = self.targets.iter().map(ToString::to_string).collect();
        format!("may reach {}", targets.join(" "))
    }
}
