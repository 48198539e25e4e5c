//! The grant of `http`: the URLs of one plugin, and the clients for their servers.

use std::sync::Arc;

use base::error::UserError;
use destinations::{Destination, Options};
use ipnet::IpNet;
use settings::OutgoingHttp;
use url::Url;

use super::client::Client;
use super::credentials::Credentials;
use super::settings::{HttpSettings, HttpTables};
use super::target::Target;
use crate::call::Services;
use crate::capabilities::Grant;
use crate::outgoing::Outgoing;

/// The default of `concurrency`.
const CONCURRENCY: usize = 100;
/// The default of `breaker`.
const BREAKER: u32 = 5;

/// Permission to send HTTP requests to some URLs.
#[derive(Debug)]
pub struct HttpGrant {
    pub(super) targets: Vec<Target>,
    pub(super) credentials: Vec<Credentials>,
    /// One for each origin of the targets; none in a dry run.
    servers: Vec<Server>,
}

/// A server, and the plugin's way to it.
#[derive(Debug)]
pub(super) struct Server {
    target: Target,
    pub destination: Arc<Destination>,
    pub client: Client,
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
        networks: &[IpNet],
        services: Option<&Services>,
    ) -> Result<Self, UserError> {
        let credentials = Credentials::all(&tables.0, &targets)?;
        let servers = services.map(|services| servers(&targets, tables, networks, services));
        Ok(Self { targets, credentials, servers: servers.transpose()?.unwrap_or_default() })
    }

    /// The server of a URL.
    pub(super) fn server(&self, url: &Url) -> Option<&Server> {
        self.servers.iter().find(|server| server.target.is_origin_of(url))
    }
}

/// The servers of these targets, with the settings of the table with the shortest URL.
fn servers(
    targets: &[Target],
    tables: &HttpTables,
    networks: &[IpNet],
    services: &Services,
) -> Result<Vec<Server>, UserError> {
    let none = Arc::default();
    let outgoing = Outgoing::new(services.shared.get::<Arc<OutgoingHttp>>().unwrap_or(&none))?;
    let mut servers: Vec<Server> = Vec::new();
    for target in targets {
        let origin = target.origin();
        if servers.iter().any(|server| **server.destination.name() == *origin) {
            continue;
        }
        let tables = tables.0.iter().filter(|(url, settings)| {
            settings.limits_server() && Target::parse(url).is_ok_and(|table| table.origin() == origin)
        });
        let settings = tables.min_by_key(|(url, _)| url.len()).map(|(_, settings)| settings);
        let options = settings.map(HttpSettings::options);
        let all = &services.destinations;
        let destination =
            all.get_or_add(&origin, options, HttpSettings::default().options()).map_err(|other| {
                let problem = format!("plugin.http: {origin} has other settings in another plugin: {other}");
                UserError::usage(problem)
                    .help("give the server the same settings everywhere, or set them once")
            })?;
        let client = Client::new(&outgoing, target.url(), networks)?;
        servers.push(Server { target: target.clone(), destination, client });
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
        let shown = |target: &Target| match self.server(target.url()).and_then(|server| server.client.proxy())
        {
            Some(proxy) => format!("{target} (through {proxy})"),
            None => target.to_string(),
        };
        let targets: Vec<_> = self.targets.iter().map(shown).collect();
        format!("may reach {}", targets.join(" "))
    }
}
