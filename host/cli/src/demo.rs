//! The arguments of `host demo`.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Arguments of `host demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of email.wasm and sms.wasm [default: the output of `make build`]
    #[arg(long, value_name = "DIR", env = "HOST_DEMO_PLUGINS")]
    pub plugins: Option<PathBuf>,
    /// Address of the producer's API
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub producer_listen: SocketAddr,
    /// Address of the console, the API, the mailbox, health checks and metrics
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pub listen: SocketAddr,
}
