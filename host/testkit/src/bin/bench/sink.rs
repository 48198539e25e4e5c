//! A double of a mail server that counts e-mails and discards them: mailin and rustls, with a thread per
//! connection.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mailin::{Action, Handler, Response, Session, SessionBuilder, response};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A running sink, which runs until the process ends.
pub struct Sink {
    port: u16,
    taken: Arc<Mutex<Taken>>,
}

/// Counts since the last [`Sink::reset`].
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    pub connections: u64,
    pub mails: u64,
    /// Distinct recipients.
    pub recipients: u64,
    /// The time from the first e-mail to the last.
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
    /// Starts a sink with `cert.pem` and `key.pem` of this directory.
    pub fn start(tls: &Path) -> Result<Self> {
        let config = Arc::new(config(tls).context("the sink's TLS")?);
        let listener = TcpListener::bind("127.0.0.1:0").context("a port for the sink")?;
        let port = listener.local_addr()?.port();
        let taken = Arc::new(Mutex::new(Taken::default()));
        let counted = Arc::clone(&taken);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, taken) = (Arc::clone(&config), Arc::clone(&counted));
                // A client that disconnects sends no more e-mails.
                thread::spawn(move || serve(stream, config, taken));
            }
        });
        Ok(Self { port, taken })
    }

    /// Its port on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Resets the counts.
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

fn config(tls: &Path) -> Result<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let certificate = CertificateDer::from_pem_file(tls.join("cert.pem"))?;
    let key = PrivateKeyDer::from_pem_file(tls.join("key.pem"))?;
    let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
    Ok(builder.with_single_cert(vec![certificate], key)?)
}

/// Replies are sent without delay, so that clients do not wait for the sink.
fn serve(stream: TcpStream, config: Arc<ServerConfig>, taken: Arc<Mutex<Taken>>) -> Result<()> {
    stream.set_nodelay(true)?;
    let counter = Counter { taken, greetings: 0 };
    let mut builder = SessionBuilder::new("sink");
    builder.enable_start_tls();
    let mut session = builder.build(IpAddr::V4(Ipv4Addr::LOCALHOST), counter);
    let mut plain = BufReader::new(stream);
    send(plain.get_mut(), &session.greeting())?;
    if converse(&mut session, &mut plain)? == Action::UpgradeTls {
        let mut tls = StreamOwned::new(ServerConnection::new(config)?, plain.into_inner());
        tls.conn.complete_io(&mut tls.sock)?;
        // rustls would send its session tickets with the next reply.
        tls.flush()?;
        session.tls_active();
        converse(&mut session, &mut BufReader::new(tls))?;
    }
    Ok(())
}

/// Serves the client until QUIT or STARTTLS. Returns the command.
fn converse<S: Read + Write>(session: &mut Session<Counter>, stream: &mut BufReader<S>) -> Result<Action> {
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line)? > 0 {
        let response = session.process(&line);
        line.clear();
        if response.action != Action::NoReply {
            send(stream.get_mut(), &response)?;
        }
        if let Action::Close | Action::UpgradeTls = response.action {
            return Ok(response.action);
        }
    }
    bail!("the client disconnected")
}

/// Sends a reply in one write.
fn send(stream: &mut impl Write, response: &Response) -> Result<()> {
    let mut bytes = Vec::new();
    response.write_to(&mut bytes)?;
    stream.write_all(&bytes)?;
    Ok(stream.flush()?)
}

/// The state of one connection.
struct Counter {
    taken: Arc<Mutex<Taken>>,
    greetings: u32,
}

impl Handler for Counter {
    fn helo(&mut self, _: IpAddr, _: &str) -> Response {
        self.greetings += 1;
        if self.greetings == 1 {
            lock(&self.taken).connections += 1;
        }
        response::OK
    }

    /// Refuses e-mail without TLS, which would distort the measurement. A client greets again after STARTTLS.
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
