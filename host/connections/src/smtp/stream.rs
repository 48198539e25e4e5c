//! The bytes of a session, in plain text or over TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::reply::Read;
use super::{Broken, Reply};
use crate::tls;

/// The time after which data that the other machine does not acknowledge breaks the connection, and after which a
/// silent connection is probed. Otherwise a machine that vanished would hold a connection for minutes.
const SILENCE: Duration = Duration::from_secs(30);
/// The size of a block of the content; the time-out is that of one block.
const BLOCK: usize = 64 << 10;

trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// A connection to a server.
pub(super) struct Stream {
    bytes: Box<dyn Bytes>,
    /// Bytes that were received and not read.
    received: Vec<u8>,
    /// This side's address.
    pub local: SocketAddr,
}

impl Stream {
    /// Connects to the first address that answers.
    pub async fn connect(host: &str, port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        let keepalive = TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE / 3).with_retries(3);
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(SILENCE))?;
        let local = stream.local_addr()?;
        Ok(Self { bytes: Box::new(stream), received: Vec::new(), local })
    }

    /// Continues over TLS. The error says what to do.
    pub async fn secure(
        self,
        host: &str,
        config: Arc<ClientConfig>,
        ca_setting: &str,
    ) -> Result<Self, String> {
        // What came in plain text after the answer to STARTTLS may be from somebody else.
        if !self.received.is_empty() {
            return Err("the server sent more than an answer to STARTTLS".to_owned());
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("{host}: {error}"))?;
        let secured = TlsConnector::from(config).connect(name, self.bytes).await;
        let bytes = secured.map_err(|error| match tls::cause(&error) {
            Some(cause) => tls::explain(cause, host, ca_setting),
            None => error.to_string(),
        })?;
        Ok(Self { bytes: Box::new(bytes), ..self })
    }

    /// Sends a command and waits for its reply. `what` names the command in errors.
    pub async fn command(
        &mut self,
        line: &str,
        what: &'static str,
        bound: Duration,
    ) -> Result<Reply, Broken> {
        // Addresses are checked long before; a line break here would be a command of its own.
        if line.contains(['\r', '\n', '\0']) {
            return Err(Broken::Failed(what, "a line break in the command".to_owned()));
        }
        let conversation = async {
            let line = [line.as_bytes(), b"\r\n"].concat();
            let written = async {
                self.bytes.write_all(&line).await?;
                self.bytes.flush().await
            };
            // The server may have said why it closes the connection.
            let written = written.await;
            self.reply(what).await.map_err(|error| match (error, written) {
                (_, Err(error)) => Broken::Failed(what, error.to_string()),
                (error, Ok(())) => error,
            })
        };
        timeout(bound, conversation).await.unwrap_or(Err(Broken::Timeout { what, bound }))
    }

    /// Waits for a reply within `bound`.
    pub async fn reply_within(&mut self, what: &'static str, bound: Duration) -> Result<Reply, Broken> {
        timeout(bound, self.reply(what)).await.unwrap_or(Err(Broken::Timeout { what, bound }))
    }

    /// Writes content, block by block, each within `bound`. Calls `last` before the last block.
    pub async fn write(
        &mut self,
        content: &[u8],
        bound: Duration,
        last: impl FnOnce(),
    ) -> Result<(), Broken> {
        const WHAT: &str = "the content";
        let mut last = Some(last);
        let count = content.len().div_ceil(BLOCK);
        for (number, block) in content.chunks(BLOCK).enumerate() {
            if number + 1 == count {
                last.take().into_iter().for_each(|last| last());
            }
            let written = async {
                self.bytes.write_all(block).await?;
                self.bytes.flush().await
            };
            match timeout(bound, written).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(Broken::Failed(WHAT, error.to_string())),
                Err(_) => return Err(Broken::Timeout { what: WHAT, bound }),
            }
        }
        Ok(())
    }

    async fn reply(&mut self, what: &'static str) -> Result<Reply, Broken> {
        loop {
            match Reply::read(&self.received) {
                Read::Reply(reply, length) => {
                    self.received.drain(..length);
                    return Ok(reply);
                }
                Read::Invalid(line) => {
                    return Err(Broken::NotSmtp(what, line.chars().take(80).collect()));
                }
                Read::More => {}
            }
            match self.bytes.read_buf(&mut self.received).await {
                // Without the end of its line a reply may still be complete.
                Ok(0) if !self.received.is_empty() && !self.received.ends_with(b"\n") => {
                    self.received.push(b'\n');
                }
                Ok(0) => return Err(Broken::Closed(what)),
                Ok(_) => {}
                Err(error) => return Err(Broken::Failed(what, error.to_string())),
            }
        }
    }
}
