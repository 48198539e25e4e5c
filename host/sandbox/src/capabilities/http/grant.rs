//! The grant of `http`: the URLs of one plugin, and the client for them.

use std::sync::Arc;

use base::error::UserError;
use destinations::{Destination, Destinations, Options};
use ipnet::IpNet;
use url::Url;

use super::client::Client;
use super::credentials::Credentials;
use super::settings::{HttpSettings, HttpTables};
use super::target::Target;
use crate::capabilities::Grant;

/// The default of `concurrency`.
const CONCURRENCY: usize = 100;
/// The default of `breaker`.
const BREAKER: u32 = 5;

/// Permission to send HTTP requests to some URLs.
#[derive(Debug)]
pub struct HttpGrant {
    pub(super) targets: Vec<Target>,
    pub(super) credentials: Vec<Credentials>,
    /// None in a dry run.
    pub(super) client: Option<Client>,
    /// The servers, one for each origin of the targets.
    servers: Vec<(Target, Arc<Destination>)>,
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
        destinations: Option<&Destinations>,
    ) -> Result<Self, UserError> {
        let credentials = Credentials::all(&tables.0, &targets)?;
        let client = destinations.map(|_| Client::new(networks)).transpose()?;
        let servers = destinations.map(|all| servers(&targets, tables, all)).transpose()?.unwrap_or_default();
        Ok(Self { targets, credentials, client, servers })
    }

    /// The server of a URL.
    pub(super) fn server(&self, url: &Url) -> Option<&Arc<Destination>> {
        self.servers.iter().find_map(|(target, server)| target.is_origin_of(url).then_some(server))
    }
}

/// The servers of these targets, with the settings of the table with the shortest URL.
fn servers(
    targets: &[Target],
    tables: &HttpTables,
    all: &Destinations,
) -> Result<Vec<(Target, Arc<Destination>)>, UserError> {
    let mut servers: Vec<(Target, Arc<Destination>)> = Vec::new();
    for target in targets {
        let origin = target.origin();
        if servers.iter().any(|(_, server)| **server.name() == *origin) {
            continue;
        }
        let tables = tables.0.iter().filter(|(url, settings)| {
            settings.limits_server() && Target::parse(url).is_ok_and(|table| table.origin() == origin)
        });
        let settings = tables.min_by_key(|(url, _)| url.len()).map(|(_, settings)| settings);
        let options = settings.map(HttpSettings::options);
        let server =
            all.get_or_add(&origin, options, HttpSettings::default().options()).map_err(|other| {
                let problem = format!("plugin.http: {origin} has other settings in another plugin: {other}");
                UserError::usage(problem)
                    .help("give the server the same settings everywhere, or set them once")
            })?;
        servers.push((target.clone(), server));
    }
    Ok(servers)
}

impl HttpSettings {
    /// Whether there is a setting about the server as a whole.
    fn limits_server(&self) -> bool {
        self.concurrency.is_some() || self.per_minute.is_some() || self.breaker.is_some()
    }

    fn options(&self) -> Options {
        Options {
            max: self.concurrency.map_or(CONCURRENCY, |count| count.get() as usize),
            per_minute: self.per_minute,
            breaker: Some(self.breaker.unwrap_or(BREAKER)).filter(|failures| *failures > 0),
        }
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
