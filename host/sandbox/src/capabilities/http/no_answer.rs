//! The reason why a request has no response.

use std::error::Error as StdError;
use std::fmt;
use std::iter::successors;

use connections::is_shortage;

use crate::outgoing::{CA, Proxy};
use crate::tls;

/// The reason why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Connections to the addresses of the name are not allowed.
    #[error("every address of the host is in a network that is not allowed")]
    Prohibited,
    /// The name has no addresses.
    #[error("the host's name cannot be resolved")]
    Dns,
    /// This machine is short of files, memory or ports.
    #[error("no connection")]
    Shortage,
    /// There is no TCP connection.
    #[error("no connection")]
    Connect,
    /// The TLS handshake failed.
    #[error("no TLS connection")]
    Tls,
    /// The proxy gave no connection.
    #[error("no connection through the proxy")]
    Proxy,
    /// The time ran out.
    #[error("no response in time")]
    Timeout,
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
}

/// An error with its cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnswer {
    /// The error.
    pub error: Error,
    /// The cause, or empty.
    pub detail: String,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

impl From<Error> for NoAnswer {
    fn from(error: Error) -> Self {
        Self { error, detail: String::new() }
    }
}

impl Error {
    /// Whether the request may have reached the server.
    pub fn may_have_arrived(self) -> bool {
        matches!(self, Self::Timeout | Self::Broken)
    }
}

/// A resolver's error: connections to the addresses of a name are not allowed.
#[derive(Debug, thiserror::Error)]
#[error("no address of the host is allowed")]
pub(super) struct Refused;

/// The meaning of an error of a client with this proxy.
pub(super) fn classify(error: &reqwest::Error, proxy: Option<&Proxy>) -> NoAnswer {
    let causes = || successors(Some(error as &(dyn StdError + 'static)), |&cause| cause.source());
    if causes().any(|cause| cause.is::<Refused>()) {
        return Error::Prohibited.into();
    }
    if let Some(detail) = proxy.zip(error.url()).and_then(|(proxy, url)| proxy.explain(error, url)) {
        return NoAnswer { error: Error::Proxy, detail };
    }
    if let Some(cause) = tls::cause(error) {
        let host = error.url().and_then(|url| url.host_str()).unwrap_or_default();
        return NoAnswer { error: Error::Tls, detail: tls::explain(cause, host, CA) };
    }
    let kind = match error {
        error if error.is_connect() && is_shortage(error) => Error::Shortage,
        error if error.is_dns() => Error::Dns,
        error if error.is_connect() || error.is_builder() => Error::Connect,
        error if error.is_timeout() => Error::Timeout,
        _ => Error::Broken,
    };
    // The innermost cause has no URL, which may contain secrets.
    let detail = causes().last().filter(|cause| !cause.is::<reqwest::Error>());
    NoAnswer { error: kind, detail: detail.map(ToString::to_string).unwrap_or_default() }
}
