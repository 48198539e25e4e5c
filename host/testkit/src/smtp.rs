//! A double of a mail server that fails on demand: TLS, a login, and faults drawn from a seed. The real
//! server is [`crate::Postfix`].

mod session;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::spawn;

use anyhow::Result;
use rustls::ServerConfig;

use self::session::Session;
use crate::postfix::make_certificate;
use crate::tls_front::server_config;
use crate::{Rng, must};

/// A running server. It runs until this process ends. Its files are removed on drop.
///
/// It accepts e-mail for every address, except those that begin with one of [`FaultySmtp::REFUSED`]. These
/// are refused permanently: a sender with `refused-mail-` at MAIL, a recipient with `refused-rcpt-` at RCPT,
/// with `refused-data-` at DATA, and with `refused-content-` after the content.
#[derive(Debug)]
pub struct FaultySmtp {
    dir: PathBuf,
    port: u16,
    shared: Arc<Shared>,
}

/// The rate of faults, per 1000 connections and per 1000 transactions.
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    /// A 4xx reply or a dropped connection, at any stage.
    pub faults: u64,
    /// No reply, at any stage.
    pub hangs: u64,
}

/// One mail transaction, which starts with MAIL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The sender of the envelope.
    pub sender: String,
    /// The accepted recipients.
    pub recipients: Vec<String>,
    /// The refused recipients, with their codes.
    pub refused: Vec<(String, u16)>,
    /// The `Subject` of the content, empty if there is none.
    pub subject: String,
    /// The `Message-ID` of the content, as written.
    pub message_id: String,
    /// The end of the transaction.
    pub end: End,
}

/// The end of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The server accepted the e-mail.
    Accepted {
        /// The server replied. It does not know whether the reply arrived.
        answered: bool,
    },
    /// The e-mail was refused with this code.
    Refused(u16),
    /// Every recipient was refused.
    AllRefused,
    /// Either side ended the transaction before the end of the content.
    Broken {
        /// Whether the content had begun.
        begun: bool,
    },
}

#[derive(Debug)]
struct Shared {
    tls: Arc<ServerConfig>,
    shares: Shares,
    rng: Mutex<Rng>,
    over: Mutex<Vec<Transaction>>,
    sessions: AtomicUsize,
}

impl FaultySmtp {
    /// Prefixes of addresses that are refused permanently.
    pub const REFUSED: [&str; 4] = ["refused-mail-", "refused-rcpt-", "refused-data-", "refused-content-"];

    /// Starts a server. Its faults are drawn from `rng`.
    #[track_caller]
    pub fn start(rng: Rng, shares: Shares) -> Self {
        must(Self::try_start(rng, shares))
    }

    fn try_start(rng: Rng, shares: Shares) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("testkit-smtp-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        make_certificate(&dir)?;
        let tls = Arc::new(server_config(&dir)?);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (rng, over) = (Mutex::new(rng), Mutex::default());
        let shared = Arc::new(Shared { tls, shares, rng, over, sessions: AtomicUsize::new(0) });
        let server = Arc::clone(&shared);
        spawn(move || {
            for stream in listener.incoming().flatten() {
                server.sessions.fetch_add(1, Ordering::SeqCst);
                let server = Arc::clone(&server);
                spawn(move || {
                    Session::serve(&server, stream);
                    server.sessions.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Ok(Self { dir, port, shared })
    }

    /// The URL for SMTPS with a login. Any login is valid.
    pub fn url(&self) -> String {
        format!("smtps://host:hunter2-4711@localhost:{}", self.port)
    }

    /// The authority of its certificate, in PEM.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Every ended transaction, in order of their ends.
    pub fn transactions(&self) -> Vec<Transaction> {
        lock(&self.shared.over).clone()
    }

    /// The number of accepted e-mails, including copies.
    pub fn accepted(&self) -> usize {
        lock(&self.shared.over).iter().filter(|one| matches!(one.end, End::Accepted { .. })).count()
    }

    /// Whether no client is connected. A hanging session ends with its client.
    pub fn is_idle(&self) -> bool {
        self.shared.sessions.load(Ordering::SeqCst) == 0
    }
}

impl Drop for FaultySmtp {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
