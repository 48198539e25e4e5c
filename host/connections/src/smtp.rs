//! An SMTP client (RFC 5321) that takes servers as they are: the code of a reply decides, whatever its text; each phase
//! has a time-out of its own; and the content counts as sent only once its end is on the way.

pub mod connection;
mod login;
pub mod reply;
mod stream;
pub mod transaction;

use std::time::Duration;

pub use self::connection::{Connection, NotConnected};
pub use self::reply::{Kind, Reply};

/// The time-outs of the phases of a session, with the values of RFC 5321, section 4.5.3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Name resolution and TCP connection, which the RFC leaves open.
    pub connect: Duration,
    /// The server's greeting, and a TLS handshake.
    pub greeting: Duration,
    /// The reply to EHLO, STARTTLS, AUTH, MAIL and RCPT.
    pub command: Duration,
    /// The reply to DATA.
    pub data: Duration,
    /// Writing a block of the content.
    pub block: Duration,
    /// The reply to the end of the content, which the server gives when it has taken responsibility.
    pub end: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            greeting: Duration::from_secs(300),
            command: Duration::from_secs(300),
            data: Duration::from_secs(120),
            block: Duration::from_secs(180),
            end: Duration::from_secs(600),
        }
    }
}

/// The reason why a conversation with a server cannot continue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The server did not answer in time.
    #[error("no answer to {what} within {} s", .bound.as_secs_f64())]
    Timeout {
        /// What was to be answered.
        what: &'static str,
        /// The time-out.
        bound: Duration,
    },
    /// The server closed the connection.
    #[error("the server closed the connection instead of an answer to {0}")]
    Closed(&'static str),
    /// The connection failed.
    #[error("{1} while waiting for an answer to {0}")]
    Failed(&'static str, String),
    /// The server's answer is not SMTP.
    #[error("the answer to {0} is not SMTP: {1:?}")]
    NotSmtp(&'static str, String),
}
