//! `host demo`: the complete system in one process, without Kafka.

mod broker;
pub mod mailbox;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use base::error::UserError;
use base::stderr;
use cli::demo::Args;
use cli::layers::Origins;
use settings::KafkaArgs;
use settings::{OffsetReset, RunArgs};
use tokio::sync::oneshot;

use self::broker::Broker;
use self::mailbox::Mailbox;
use crate::app::{self, App, Server};
use crate::signals::Signals;

/// The demo's plugins.
const PLUGINS: [&str; 2] = ["email.wasm", "sms.wasm"];

/// Runs broker, producer, plugins and mailbox until Ctrl-C.
///
/// # Errors
/// The plugins are missing, or a port is in use.
pub async fn run(args: Args, mut signals: Signals) -> anyhow::Result<()> {
    let started = Instant::now();
    let plugins = find_plugins(args.plugins)?;
    let api = app::bind(args.producer_listen, "--producer-listen").await?;
    let listener = app::bind(args.listen, "--listen").await?;
    let (producer, address) = (api.local_addr()?, listener.local_addr()?);
    let broker = Broker::start().context("cannot start the embedded broker")?;
    let (mailbox, smtp) = Mailbox::start((Ipv4Addr::LOCALHOST, 0)).context("cannot start the mailbox")?;

    // A temporary store: topics and offsets of the embedded broker start over with each run.
    let store = tempfile::tempdir().context("cannot create a temporary directory")?;
    let run = Arc::new(RunArgs {
        plugins,
        kafka: embedded(broker.bootstrap_servers()),
        auto_offset_reset: OffsetReset::Earliest,
        create_topics: true,
        // Other addresses would require a token.
        desk: address.ip().is_loopback(),
        listen: address,
        mail_url: Some(format!("smtp://{smtp}")),
        store: Some(format!("sqlite:{}", store.path().join("host.db").display())),
        found: None,
    });
    let server = Server::start(
        listener,
        server::guard::access(&run, address)?,
        mailbox::router(mailbox, producer, run.desk),
    );
    // Before the producer, which needs the topics.
    let Some(app) = App::start(&run, &Origins::new(), &mut signals).await? else { return Ok(()) };
    let settings = producer::Settings::new(&run.kafka.bootstrap_servers);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let stopped = async move { _ = stopped.await };
        producer::serve(api, &settings, stopped).await
    });
    let summary = app.summary(&run, address);
    stderr::line(format_args!(
        "{summary}\n  broker   embedded, in memory; not for production\n  producer http://{producer}\n  \
         mailbox  http://{address}/demo/mailbox"
    ));
    let has_console = run.desk;
    app.run(server, signals, move || announce(producer, address, has_console, started)).await?;
    // The receiver is dropped if the producer has ended already.
    let _ = stop.send(());
    serving.await??;
    Ok(())
}

fn announce(producer: SocketAddr, address: SocketAddr, has_console: bool, started: Instant) {
    let fails = format!(
        "With \"to\":\"nobody@example.com\" it fails and becomes a dead letter. Edit and replay it at http://{address}/\n\n"
    );
    let fails = if has_console { &fails } else { "" };
    stderr::line(format_args!(
        "Ready in {:.1} s. Send an e-mail, and open http://{address}/demo/mailbox\n\n  \
         curl http://{producer}/api/emails/send -H 'Content-Type: application/json' \\\n    \
         -d '{{\"from\":\"me@example.com\",\"to\":\"you@example.com\",\"subject\":\"Hello\",\"body\":\"It works.\"}}'\n\n\
         {fails}Ctrl-C stops the demo.",
        started.elapsed().as_secs_f64()
    ));
}

/// Connection to the embedded broker, which creates topics on demand, and delays each empty fetch by the client's
/// maximum wait.
fn embedded(bootstrap_servers: String) -> KafkaArgs {
    let properties = [("allow.auto.create.topics", "true"), ("fetch.wait.max.ms", "20")];
    KafkaArgs {
        bootstrap_servers,
        properties: properties.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
        environment_properties: None,
        file_properties: Vec::new(),
    }
}

fn find_plugins(given: Option<PathBuf>) -> Result<Vec<PathBuf>, UserError> {
    let directory = match given {
        Some(directory) => directory,
        None => built().ok_or_else(|| {
            UserError::usage("cannot find the plugins").help("specify their directory: --plugins DIR")
        })?,
    };
    let plugins: Vec<PathBuf> = PLUGINS.iter().map(|name| directory.join(name)).collect();
    match plugins.iter().find(|path| !path.is_file()) {
        None => Ok(plugins),
        Some(missing) => Err(UserError::usage(format!("{} does not exist", missing.display()))
            .help("build the plugins: make build")
            .help("or specify their directory: host demo --plugins DIR")),
    }
}

/// `target/wasm32-wasip2/release`, relative to `target/release/host`.
fn built() -> Option<PathBuf> {
    let executable = std::env::current_exe().ok()?;
    let target = executable.parent().and_then(Path::parent)?;
    Some(target.join("wasm32-wasip2").join("release"))
}
