//! The other end of a connection.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{GET, LONG};

/// A client that sends and reads bytes.
pub struct Client(pub TcpStream);

impl Client {
    pub async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.expect("sent");
    }

    /// What arrives up to and including `end`.
    pub async fn read_to(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        let read = async {
            while !text.ends_with(end.as_bytes()) {
                text.push(self.0.read_u8().await.expect("more"));
            }
        };
        timeout(LONG, read).await.expect("an answer in time");
        String::from_utf8(text).expect("UTF-8")
    }

    pub async fn get(&mut self) {
        self.send(GET).await;
        assert!(self.read_to("\r\n\r\nok").await.starts_with("HTTP/1.1 200"));
    }

    /// What arrives until the server closes the connection.
    pub async fn read_all(&mut self) -> String {
        let mut text = Vec::new();
        match timeout(LONG, self.0.read_to_end(&mut text)).await.expect("the end in time") {
            Ok(_) => {}
            // Closed while something sent was still unread.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{error}"),
        }
        String::from_utf8(text).expect("UTF-8")
    }

    pub async fn is_silent(&mut self, time: Duration) -> bool {
        timeout(time, self.0.read_u8()).await.is_err()
    }
}
