//! A connection that is ready for transactions: greeted, secured, logged in.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::time::timeout;

pub use super::login::Login;
use super::stream::Stream;
use super::{Broken, Kind, Reply, Timeouts};
use crate::is_shortage;

/// How to use TLS.
#[derive(Clone)]
pub enum Security {
    /// Not at all.
    None,
    /// STARTTLS if the server offers it.
    Opportunistic(Arc<ClientConfig>),
    /// STARTTLS, without which there is no connection.
    Required(Arc<ClientConfig>),
    /// From the first byte.
    Implicit(Arc<ClientConfig>),
}

/// How to connect.
#[derive(Clone)]
pub struct Endpoint {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// TLS.
    pub security: Security,
    /// The setting that adds certificate authorities, for errors.
    pub ca_setting: String,
    /// The name in EHLO; None for the address of this side.
    pub hello: Option<String>,
    /// The credentials.
    pub login: Option<Login>,
}

/// Without credentials.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if matches!(self.security, Security::Implicit(_)) { "smtps" } else { "smtp" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// The server's extensions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions {
    /// STARTTLS.
    pub starttls: bool,
    /// SMTPUTF8: addresses that are not ASCII.
    pub smtputf8: bool,
    /// The mechanisms of AUTH.
    pub auth: Vec<String>,
}

/// The time for the answer to QUIT.
const GOODBYE: Duration = Duration::from_secs(1);

/// The reason why there is no connection. The text contains no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotConnected {
    /// The server does not accept a connection, or not another one.
    Refused(String),
    /// This machine is short of files, memory or ports.
    Shortage(String),
    /// The connection cannot be used: TLS or the login failed.
    Unusable(String),
}

/// A connection that is ready for a transaction.
pub struct Connection {
    pub(super) stream: Stream,
    pub(super) timeouts: Timeouts,
    extensions: Extensions,
    opened: Instant,
}

impl Connection {
    /// Connects, negotiates TLS and logs in.
    ///
    /// # Errors
    /// There is no connection that can be used.
    pub async fn open(endpoint: &Endpoint, timeouts: Timeouts) -> Result<Self, NotConnected> {
        use NotConnected::{Refused, Shortage, Unusable};
        let connecting = Stream::connect(&endpoint.host, endpoint.port);
        let mut stream = match timeout(timeouts.connect, connecting).await {
            Ok(Err(error)) if is_shortage(&error) => return Err(Shortage(error.to_string())),
            Ok(stream) => stream.map_err(|error| Refused(error.to_string()))?,
            Err(_) => return Err(Refused(format!("no answer within {} s", timeouts.connect.as_secs_f64()))),
        };
        if let Security::Implicit(tls) = &endpoint.security {
            stream = secure(stream, endpoint, tls, timeouts.greeting).await.map_err(Unusable)?;
        }
        let greeting = stream.reply_within("the connection", timeouts.greeting).await;
        let greeting = greeting.map_err(|error| Refused(error.to_string()))?;
        if greeting.kind() != Kind::Positive {
            return Err(Refused(format!("its greeting is {greeting}")));
        }
        let mut extensions = hello(&mut stream, endpoint, &timeouts).await?;
        let tls = match &endpoint.security {
            Security::Required(tls) => Some(tls),
            Security::Opportunistic(tls) if extensions.starttls => Some(tls),
            _ => None,
        };
        if let Some(tls) = tls {
            let starting = stream.command("STARTTLS", "STARTTLS", timeouts.command).await;
            let answer = starting.map_err(|error| Refused(error.to_string()))?;
            if answer.kind() != Kind::Positive {
                return Err(Unusable(format!("no STARTTLS: it answered {answer}")));
            }
            let secured = secure(stream, endpoint, tls, timeouts.greeting).await;
            stream = secured.map_err(|reason| Unusable(format!("no STARTTLS: {reason}")))?;
            extensions = hello(&mut stream, endpoint, &timeouts).await?;
        }
        if let Some(login) = &endpoint.login {
            login.perform(&mut stream, &extensions.auth, &timeouts).await.map_err(Unusable)?;
        }
        Ok(Self { stream, timeouts, extensions, opened: Instant::now() })
    }

    /// The server's extensions.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The time since the connection was opened.
    pub fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Says goodbye in the background and closes the connection.
    pub fn close(self) {
        tokio::spawn(self.closed());
    }

    /// Says goodbye, as RFC 5321, section 4.1.1.10 asks for, and closes the connection within a second.
    pub async fn closed(mut self) {
        // The connection ends whatever the answer is.
        let _ = self.stream.command("QUIT", "QUIT", GOODBYE).await;
    }

    /// Ends a transaction that the server refused, and tells whether the connection still works.
    pub async fn reset(&mut self, bound: Duration) -> bool {
        let answer = self.stream.command("RSET", "RSET", bound).await;
        answer.is_ok_and(|reply| reply.kind() == Kind::Positive)
    }

    pub(super) async fn command(
        &mut self,
        line: &str,
        what: &'static str,
        bound: Duration,
    ) -> Result<Reply, Broken> {
        self.stream.command(line, what, bound).await
    }
}

async fn secure(
    stream: Stream,
    endpoint: &Endpoint,
    tls: &Arc<ClientConfig>,
    bound: Duration,
) -> Result<Stream, String> {
    let secured = timeout(bound, stream.secure(&endpoint.host, Arc::clone(tls), &endpoint.ca_setting)).await;
    secured.unwrap_or_else(|_| Err(format!("no TLS handshake within {} s", bound.as_secs_f64())))
}

/// EHLO, or HELO if the server does not know it.
async fn hello(
    stream: &mut Stream,
    endpoint: &Endpoint,
    timeouts: &Timeouts,
) -> Result<Extensions, NotConnected> {
    let refused = |error: Broken| NotConnected::Refused(error.to_string());
    let name = endpoint.hello.clone().unwrap_or_else(|| literal(stream.local));
    let mut reply =
        stream.command(&format!("EHLO {name}"), "EHLO", timeouts.command).await.map_err(refused)?;
    if reply.kind() == Kind::Permanent {
        reply = stream.command(&format!("HELO {name}"), "HELO", timeouts.command).await.map_err(refused)?;
        reply.lines.clear();
    }
    match reply.kind() {
        Kind::Positive => Ok(extensions(&reply)),
        _ => Err(NotConnected::Refused(format!("it answered EHLO with {reply}"))),
    }
}

/// The first line of the reply is a greeting, each further one an extension with its parameters.
fn extensions(reply: &Reply) -> Extensions {
    let mut all = Extensions::default();
    for line in reply.lines.iter().skip(1) {
        // Old servers write `AUTH=`.
        let mut words = line.split([' ', '=', '\t']).filter(|word| !word.is_empty());
        match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "STARTTLS" => all.starttls = true,
            "SMTPUTF8" => all.smtputf8 = true,
            "AUTH" => all.auth.extend(words.map(str::to_owned)),
            _ => {}
        }
    }
    all
}

/// The address literal for a client without a name (RFC 5321, section 4.1.4).
fn literal(local: SocketAddr) -> String {
    match local.ip() {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_read_from_every_line_but_the_first() {
        let lines = [
            "STARTTLS greets you",
            "size 1000",
            "starttls",
            "AUTH=LOGIN",
            "AUTH PLAIN XOAUTH2",
            "",
            "SMTPUTF8",
        ];
        let reply = Reply { code: 250, lines: lines.map(str::to_owned).to_vec() };
        let auth = ["LOGIN", "PLAIN", "XOAUTH2"].map(str::to_owned).to_vec();
        assert_eq!(extensions(&reply), Extensions { starttls: true, smtputf8: true, auth });
        let alone = Reply { code: 250, lines: vec!["STARTTLS".to_owned()] };
        assert_eq!(extensions(&alone), Extensions::default());
    }

    #[test]
    fn a_client_without_a_name_is_its_address() {
        assert_eq!(literal("192.0.2.1:9".parse().expect("an address")), "[192.0.2.1]");
        assert_eq!(literal("[2001:db8::1]:9".parse().expect("an address")), "[IPv6:2001:db8::1]");
    }
}
