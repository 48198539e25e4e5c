//! An SMTP server that swallows e-mails and counts them: mailin with STARTTLS, a thread for each connection.

use std::collections::HashSet;
use std::net::{IpAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use mailin_embedded::{Handler, Response, Server, SslConfig, response};
use socket2::SockRef;

/// Connections at once. Nobody who is measured has so many.
const SESSIONS: u32 = 64;

/// A running sink; it listens for as long as the process lives.
pub struct Sink {
    port: u16,
    taken: Arc<Mutex<Taken>>,
}

/// What came since the last [`Sink::reset`].
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    pub connections: u64,
    pub mails: u64,
    /// Different recipients.
    pub recipients: u64,
    /// From the first e-mail to the last.
    pub took: Duration,
}

#[derive(Default)]
struct Taken {
    connections: u64,
    mails: u64,
    recipients: HashSet<String>,
    first_and_last: Option<(Instant, Instant)>,
}

impl Sink {
    /// Starts it with the `cert.pem` and `key.pem` of this directory.
    pub fn start(tls: &Path) -> Result<Self> {
        // Two are linked in, and rustls does not choose.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").context("a port for the sink")?;
        // What it accepts inherits it. Else an answer behind TLS's session tickets waits for the client to
        // acknowledge them: 40 ms a connection, which would be the sink's doing.
        SockRef::from(&listener).set_tcp_nodelay(true).context("TCP_NODELAY on the sink")?;
        let port = listener.local_addr()?.port();
        let taken = Arc::new(Mutex::new(Taken::default()));
        let mut server = Server::new(Session { taken: Arc::clone(&taken), greetings: 0 });
        let path = |name: &str| tls.join(name).display().to_string();
        let ssl = SslConfig::SelfSigned { cert_path: path("cert.pem"), key_path: path("key.pem") };
        server.with_name("sink").with_num_threads(SESSIONS).with_tcp_listener(listener);
        server.with_ssl(ssl).map_err(|error| anyhow!("the sink's TLS: {error}"))?;
        std::thread::Builder::new().name("sink".to_owned()).spawn(move || {
            if let Err(error) = server.serve() {
                eprintln!("bench: the sink stopped: {error}");
            }
        })?;
        Ok(Self { port, taken })
    }

    /// Where it listens, on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Counts from nothing again.
    pub fn reset(&self) {
        *lock(&self.taken) = Taken::default();
    }

    pub fn counts(&self) -> Counts {
        let taken = lock(&self.taken);
        Counts {
            connections: taken.connections,
            mails: taken.mails,
            recipients: taken.recipients.len() as u64,
            took: taken.first_and_last.map(|(first, last)| last - first).unwrap_or_default(),
        }
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// mailin clones it for each connection.
#[derive(Clone)]
struct Session {
    taken: Arc<Mutex<Taken>>,
    greetings: u32,
}

impl Handler for Session {
    fn helo(&mut self, _: IpAddr, _: &str) -> Response {
        self.greetings += 1;
        if self.greetings == 1 {
            lock(&self.taken).connections += 1;
        }
        response::OK
    }

    /// A client greets again once it has TLS. One without would not be measured as it is meant.
    fn mail(&mut self, _: IpAddr, _: &str, _: &str) -> Response {
        match self.greetings {
            2 => response::OK,
            _ => Response::custom(530, "STARTTLS first".to_owned()),
        }
    }

    fn data_start(&mut self, _: &str, _: &str, _: bool, to: &[String]) -> Response {
        lock(&self.taken).recipients.extend(to.iter().cloned());
        response::START_DATA
    }

    fn data_end(&mut self) -> Response {
        let now = Instant::now();
        let mut taken = lock(&self.taken);
        taken.mails += 1;
        let first = taken.first_and_last.map_or(now, |(first, _)| first);
        taken.first_and_last = Some((first, now));
        response::OK
    }
}
