//! A mock of a mail server that fails: TLS, a login, and faults drawn from a seed. The real server
//! is [`crate::Postfix`].

mod session;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::spawn;

use anyhow::Result;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use self::session::Session;
use crate::postfix::make_certificate;
use crate::{Rng, must};

/// A running one; it serves until this process ends, its files are removed on drop.
///
/// It takes e-mail for everybody. Addresses that begin with one of [`FaultySmtp::REFUSED`] it refuses
/// for good, at that stage: a sender with `refused-mail-` at MAIL, a recipient with `refused-rcpt-` at
/// RCPT, with `refused-data-` at DATA, with `refused-content-` after the content.
#[derive(Debug)]
pub struct FaultySmtp {
    dir: PathBuf,
    port: u16,
    shared: Arc<Shared>,
}

/// How often something goes wrong: of 1000 connections, and of 1000 transactions beside them.
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    /// 4xx at any stage, or the connection is dropped there.
    pub faults: u64,
    /// It never answers, at any stage.
    pub hangs: u64,
}

/// One mail transaction, from MAIL on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The envelope's sender.
    pub sender: String,
    /// Those it was taken for.
    pub recipients: Vec<String>,
    /// The others, and with which code.
    pub refused: Vec<(String, u16)>,
    /// The content's `Subject`; empty where there was none.
    pub subject: String,
    /// The content's `Message-ID`, as it is written.
    pub message_id: String,
    /// How it ended.
    pub end: End,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The e-mail is the server's.
    Taken {
        /// It said so; whether that was heard it does not know.
        answered: bool,
    },
    /// All of it was refused, with this code.
    Refused(u16),
    /// Every recipient that was named was refused.
    Nobody,
    /// Either side gave up before the whole content was there.
    Broken {
        /// The content had begun.
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
    /// How addresses begin that are refused for good.
    pub const REFUSED: [&str; 4] = ["refused-mail-", "refused-rcpt-", "refused-data-", "refused-content-"];

    /// Starts one. Which connection or transaction meets what comes from `rng`.
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
        let certificate = CertificateDer::from_pem_file(dir.join("cert.pem"))?;
        let key = PrivateKeyDer::from_pem_file(dir.join("key.pem"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = Arc::new(tls.with_no_client_auth().with_single_cert(vec![certificate], key)?);
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

    /// SMTPS with a login; it takes any.
    pub fn url(&self) -> String {
        format!("smtps://host:hunter2-4711@localhost:{}", self.port)
    }

    /// The authority that vouches for its certificate, in PEM.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Every transaction that is over, in that order.
    pub fn transactions(&self) -> Vec<Transaction> {
        lock(&self.shared.over).clone()
    }

    /// How many e-mails it has taken, each as often as it came.
    pub fn taken(&self) -> usize {
        lock(&self.shared.over).iter().filter(|one| matches!(one.end, End::Taken { .. })).count()
    }

    /// Whether nobody is connected. A session that hangs ends when its client goes.
    pub fn is_idle(&self) -> bool {
        self.shared.sessions.load(Ordering::SeqCst) == 0
    }
}

impl Drop for FaultySmtp {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
