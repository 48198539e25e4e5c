//! TLS in front of a server without it.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::must;
use crate::postfix::make_certificate;

/// Takes TLS connections for `localhost` and [`TlsFront::NAME`] and passes their content on. It runs until this process
/// ends. Its files are removed on drop.
#[derive(Debug)]
pub struct TlsFront {
    dir: PathBuf,
    /// Its address.
    pub address: SocketAddr,
}

impl TlsFront {
    /// A name in its certificate that no resolver knows.
    pub const NAME: &str = "gateway.test";

    /// Starts it in front of the server at this address.
    #[track_caller]
    pub fn start(behind: SocketAddr) -> Self {
        must(Self::try_start(behind))
    }

    fn try_start(behind: SocketAddr) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("testkit-tls-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        make_certificate(&dir)?;
        let tls = Arc::new(server_config(&dir)?);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        std::thread::spawn(move || runtime.block_on(accept(listener, tls, behind)));
        Ok(Self { dir, address })
    }

    /// The authority of its certificate, in PEM.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// TLS with `cert.pem` and `key.pem` of this directory.
pub(crate) fn server_config(dir: &std::path::Path) -> Result<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(dir.join("cert.pem"))?;
    let key = PrivateKeyDer::from_pem_file(dir.join("key.pem"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(tls.with_no_client_auth().with_single_cert(vec![certificate], key)?)
}

async fn accept(listener: TcpListener, tls: Arc<ServerConfig>, behind: SocketAddr) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let acceptor = TlsAcceptor::from(Arc::clone(&tls));
        // A client that does not trust the certificate disconnects.
        tokio::spawn(async move {
            let mut outside = acceptor.accept(stream).await?;
            let mut inside = TcpStream::connect(behind).await?;
            copy_bidirectional(&mut outside, &mut inside).await
        });
    }
}
