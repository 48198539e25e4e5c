//! The `producer` binary: parses the command line, runs the service, maps errors to exit codes.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use base::error::{UserError, exit_code};
use base::kafka_args::hide_property;
use base::stderr::{self, Stderr};
use clap::Parser;
use producer::{EMAIL_TOPIC, SMS_TOPIC, Settings, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Accept e-mail and SMS requests over HTTP, and publish them to Kafka.
///
/// POST /api/emails/send publishes to the topic email.send, POST /api/sms/send to sms.send. A request is
/// answered with status 200 once Kafka has confirmed the message. While Kafka is unreachable, at startup or
/// later, requests are answered with status 503.
#[derive(Debug, Parser)]
#[command(name = "producer", version, after_help = AFTER_HELP)]
struct Cli {
    /// The connection to Kafka and the request timeout.
    #[command(flatten)]
    settings: Settings,
    /// Address of the HTTP API
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", env = "PRODUCER_LISTEN", value_parser = address)]
    listen: SocketAddr,
}

const AFTER_HELP: &str = r#"RUST_LOG sets the log filter for stderr (default: info).

Example:
  curl http://127.0.0.1:8080/api/emails/send -H 'Content-Type: application/json' \
    -d '{"from":"a@example.com","to":"b@example.com","subject":"Hello","body":"Hi"}'"#;

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected IP:PORT, for example 127.0.0.1:8080 or 0.0.0.0:8080".to_owned())
}

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stderr::line(format_args!("error: {error:#}"));
            ExitCode::from(exit_code(&error))
        }
    }
}

fn start() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // Before anything else: the kernel drops a signal without a handler for process 1 of a container.
    let stop = {
        let _context = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let cli = Cli::try_parse().unwrap_or_else(|error| hide_property(error).exit());
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Stderr)
        .with_ansi(stderr::is_coloured())
        .init();
    if let Some(warning) = base::files::raise_limit() {
        tracing::warn!("{warning}");
    }
    let result = runtime.block_on(run(&cli, stop));
    // Blocking calls that are still running end with the process.
    runtime.shutdown_background();
    result
}

async fn run(cli: &Cli, stop: (Signal, Signal)) -> anyhow::Result<()> {
    cli.settings.check()?;
    let listener = listen(cli.listen).await?;
    stderr::line(format_args!(
        "producer {}\n  http   http://{}\n  kafka  {} ({EMAIL_TOPIC}, {SMS_TOPIC}; answers within {} s)",
        env!("CARGO_PKG_VERSION"),
        listener.local_addr()?,
        cli.settings.bootstrap_servers,
        cli.settings.timeout.as_secs(),
    ));
    serve(listener, &cli.settings, stopped(stop)).await
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Err(UserError::usage(format!("--listen {address}: another process is listening on this address"))
                .help("stop that process, or choose another port: --listen 127.0.0.1:8090")
                .into())
        }
        Err(error) if matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::PermissionDenied) => {
            Err(UserError::usage(format!("--listen {address}: {error}"))
                .help("choose an address of this machine and a port from 1024: --listen 0.0.0.0:8080")
                .into())
        }
        Err(error) => Err(error).with_context(|| format!("--listen {address}")),
    }
}

async fn stopped((mut terminate, mut interrupt): (Signal, Signal)) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("shutting down: no new connections, finishing requests in progress");
}
