//! The way to HTTP servers: certificate authorities, and proxies.
//!
//! A proxy resolves the names of servers and connects to them, so nothing here knows their addresses. The client for a
//! proxy can reach nothing but the proxy, and the client without one has no exemption for the proxy's address.

use std::error::Error as StdError;
use std::fmt;
use std::iter::successors;
use std::sync::Arc;

use base::error::UserError;
use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::ClientBuilder;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::ClientConfig;
use settings::OutgoingHttp;
use url::{Host, Url};

use crate::tls;

/// The setting with further authorities.
pub const CA: &str = "http.ca";
const PROXY: &str = "http.proxy";
const NO_PROXY: &str = "http.no-proxy";

/// The way to HTTP servers.
pub struct Outgoing {
    tls: ClientConfig,
    http: Option<Proxy>,
    https: Option<Proxy>,
    /// Its one proxy applies to every server except those that are reached without one.
    except: Matcher,
    /// The text and the place of these exceptions.
    no_proxy: (String, &'static str),
}

/// A proxy. It is shown without its credentials.
#[derive(Debug, Clone)]
pub struct Proxy {
    to: Intercept,
    /// The setting or the variable that names it.
    pub place: &'static str,
}

impl Outgoing {
    /// The way that the settings and the environment describe.
    ///
    /// # Errors
    /// A value cannot be used. The error never repeats a proxy's URL.
    pub fn new(settings: &OutgoingHttp) -> Result<Self, UserError> {
        Self::with(settings, |name| std::env::var(name).ok())
    }

    fn with(settings: &OutgoingHttp, env: impl Fn(&str) -> Option<String>) -> Result<Self, UserError> {
        let ca = settings.ca.as_deref().map(|path| tls::authorities(CA, path)).transpose()?;
        let set = settings.proxy.as_ref().map(|proxy| proxy.read(PROXY)).transpose()?;
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| Some((*name, env(name).filter(|value| !value.is_empty())?)))
        };
        let proxy =
            |names: &[&'static str]| match set.clone().map(|text| (PROXY, text)).or_else(|| first(names)) {
                Some((place, text)) if !text.is_empty() => Proxy::parse(&text, place).map(Some),
                _ => Ok(None),
            };
        let no_proxy = match &settings.no_proxy {
            Some(names) => {
                (names.iter().map(|name| exception(name)).collect::<Result<Vec<_>, _>>()?.join(","), NO_PROXY)
            }
            None => {
                first(&["NO_PROXY", "no_proxy"]).map_or_else(Default::default, |(name, text)| (text, name))
            }
        };
        Ok(Self {
            tls: tls::https(&ca.unwrap_or_default())?,
            http: proxy(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])?,
            https: proxy(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])?,
            except: Matcher::builder().all("http://proxy").no(&no_proxy.0).build(),
            no_proxy,
        })
    }

    /// The proxy for requests to the server of this URL. This machine is never asked for at a proxy, where the name
    /// would be another machine, nor is the proxy itself.
    pub fn proxy(&self, url: &Url) -> Option<Proxy> {
        let is_here = match url.host()? {
            Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        let server: Uri = url.origin().ascii_serialization().parse().ok()?;
        let proxy = proxy.as_ref().filter(|proxy| !is_here && !proxy.is(url))?;
        self.except.intercept(&server).is_some().then(|| proxy.clone())
    }

    /// A client without a proxy, or for requests that go to this proxy.
    ///
    /// # Errors
    /// The proxy's URL cannot be used.
    pub fn client(&self, proxy: Option<&Proxy>) -> Result<ClientBuilder, UserError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // Nothing else from the environment.
            .no_proxy();
        let Some(Proxy { to, place }) = proxy else { return Ok(client) };
        let proxy =
            reqwest::Proxy::all(to.uri().to_string()).map_err(|_| invalid(place, "it is not a URL"))?;
        let proxy = match to.basic_auth() {
            Some(credentials) => proxy.custom_http_auth(credentials.clone()),
            None => proxy,
        };
        let only = Only(to.uri().host().unwrap_or_default().into());
        Ok(client.proxy(proxy).dns_resolver(Arc::new(only)))
    }

    /// The proxies that are set.
    pub fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        let is_other = |http: &&Proxy| self.https.as_ref().is_none_or(|https| https.place != http.place);
        self.https.iter().chain(self.http.iter().filter(is_other))
    }

    /// What is reached without a proxy, and the setting or the variable that says so.
    pub fn no_proxy(&self) -> (Vec<&str>, &'static str) {
        let (names, place) = &self.no_proxy;
        (names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect(), place)
    }
}

impl Proxy {
    fn parse(text: &str, place: &'static str) -> Result<Self, UserError> {
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(text.trim()).map_err(|error| invalid(place, &error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || url.port() == Some(0) {
            return Err(invalid(place, "it needs http or https, a host, and a port other than 0"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            let reason =
                "it has a path, or a special character in the user or password is not percent-encoded";
            return Err(invalid(place, reason));
        }
        let any = Uri::from_static("http://any");
        let to = Matcher::builder().all(url.as_str()).build().intercept(&any);
        to.map(|to| Self { to, place }).ok_or_else(|| invalid(place, "it is not a URL"))
    }

    /// Whether it is the server of this URL.
    fn is(&self, url: &Url) -> bool {
        let uri = self.to.uri();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        uri.host().is_some_and(|host| url.host_str().is_some_and(|other| host.eq_ignore_ascii_case(other)))
            && url.port_or_known_default() == Some(port)
    }

    /// Its URL with a mask in place of credentials.
    pub fn masked(&self) -> String {
        match self.to.basic_auth() {
            Some(_) => self.to_string().replacen("://", "://***@", 1),
            None => self.to_string(),
        }
    }

    /// Why the proxy gave no connection to the server of this URL; None if the error is not one of the proxy.
    pub fn explain(&self, error: &reqwest::Error, url: &Url) -> Option<String> {
        let causes = || successors(Some(error as &(dyn StdError + 'static)), |&cause| cause.source());
        let server = url.origin().ascii_serialization();
        // The type is private. The texts are tested.
        let tunnel =
            causes().find_map(|cause| Some(cause.to_string().strip_prefix("tunnel error: ")?.to_owned()));
        match tunnel.as_deref() {
            Some("proxy authorization required") => return Some(self.wants_credentials()),
            Some("unsuccessful") => {
                return Some(format!("{self} refuses to connect to {server}; its log says why"));
            }
            Some("unexpected end of file") => {
                return Some(format!("{self} breaks the connection to {server}; its log says why"));
            }
            // A failure of TLS after the tunnel is one of the server.
            None if !error.is_connect() || url.scheme() == "https" && tls::cause(error).is_some() => {
                return None;
            }
            _ => {}
        }
        let host = self.to.uri().host().unwrap_or_default();
        Some(match tls::cause(error) {
            Some(tls) => format!("{self}: {}", tls::explain(tls, host, CA)),
            None if error.is_timeout() => format!("{self} does not connect to {server} in time"),
            None if error.is_dns() => format!("the name of {self} cannot be resolved; see {}", self.place),
            None => format!("{self}: {}", causes().last().map(ToString::to_string).unwrap_or_default()),
        })
    }

    /// The meaning of the status 407.
    pub fn wants_credentials(&self) -> String {
        format!("{self} does not accept the credentials (407); set user and password in {}", self.place)
    }
}

/// Without credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to.uri().to_string().trim_end_matches('/'))
    }
}

/// An entry of `no-proxy`.
fn exception(text: &str) -> Result<&str, UserError> {
    let is_network = text.parse::<ipnet::IpNet>().is_ok() || text.parse::<std::net::IpAddr>().is_ok();
    let is_name =
        !text.is_empty() && !text.contains([':', '/', '*', ',', '@']) && !text.contains(char::is_whitespace);
    if is_network || is_name || text == "*" {
        return Ok(text);
    }
    Err(UserError::usage(format!("{NO_PROXY}: {text:?} is not a name, an address, a network or \"*\""))
        .help("write a name without scheme, port and wildcard: example.com covers everything below it"))
}

fn invalid(place: &str, reason: &str) -> UserError {
    UserError::usage(format!("{place}: the URL of the proxy is invalid: {reason}")).help(
        "write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, with special characters in USER and PASSWORD \
         percent-encoded; without a proxy: [http] proxy = \"\"",
    )
}

/// Resolves the name of the proxy, at any address, and no other.
struct Only(Box<str>);

impl Resolve for Only {
    fn resolve(&self, name: Name) -> Resolving {
        let is_proxy = name.as_str().eq_ignore_ascii_case(&self.0);
        Box::pin(async move {
            if !is_proxy {
                return Err("only the proxy is reached".into());
            }
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
