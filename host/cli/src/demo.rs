//! The arguments of `host demo`.

use std::net::SocketAddr;
use std::path::PathBuf;

use settings::Found;

/// Arguments of `host demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of email.wasm and sms.wasm [default: the output of `make build`]
    #[arg(long, value_name = "DIR", env = "HOST_DEMO_PLUGINS")]
    pub plugins: Option<PathBuf>,
    /// File of another plugin to run beside them, with its settings in the file that --config names; can be repeated
    #[arg(long = "plugin", value_name = "FILE")]
    pub others: Vec<PathBuf>,
    /// Run only the plugins of --plugin
    #[arg(long, requires = "others")]
    pub alone: bool,
    /// Address of the producer's API
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub producer_listen: SocketAddr,
    /// Address of the console, the API, the mailbox, health checks and metrics
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pub listen: SocketAddr,
    /// The file that `--config` names; no other one.
    #[arg(skip)]
    pub found: Option<Box<Found>>,
}
