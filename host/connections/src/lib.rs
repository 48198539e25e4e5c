//! Connections to servers: certificate authorities, the SMTP client, and shortages that are no fault of a server.

mod shortage;
pub mod smtp;
pub mod tls;

pub use self::shortage::is_shortage;
