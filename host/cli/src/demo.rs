//! The arguments of `host demo`.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Arguments of `host demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where email.wasm and sms.wasm are [default: where `make build` leaves them]
    #[arg(long, value_name = "DIR", env = "HOST_DEMO_PLUGINS")]
    pub plugins: Option<PathBuf>,
    /// Where the producer's API answers
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub producer_listen: SocketAddr,
    /// Where the console, the mailbox and health checks answer
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pub listen: SocketAddr,
}
