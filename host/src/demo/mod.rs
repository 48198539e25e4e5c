//! `host demo`: the whole system in one process, without Kafka.

mod broker;
pub mod mailbox;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use base::error::UserError;
use cli::demo::Args;
use settings::KafkaArgs;
use settings::{OffsetReset, RunArgs};
use tokio::sync::oneshot;

use self::broker::Broker;
use self::mailbox::Mailbox;
use crate::app::{self, App, Server};

/// The plugins that the demo runs.
const PLUGINS: [&str; 2] = ["email.wasm", "sms.wasm"];

/// Runs broker, producer, plugins and mail catcher until Ctrl-C.
///
/// # Errors
/// The plugins are not there, or a port is taken.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let started = Instant::now();
    let plugins = find_plugins(args.plugins)?;
    let api = app::bind(args.producer_listen, "--producer-listen").await?;
    let listener = app::bind(args.listen, "--listen").await?;
    let (producer, address) = (api.local_addr()?, listener.local_addr()?);
    let broker = Broker::start().context("cannot start the embedded broker")?;
    let (mailbox, smtp) =
        Mailbox::start((Ipv4Addr::LOCALHOST, 0)).context("cannot start the mail catcher")?;

    // Its topics begin anew each time, and so would be taken for the last ones.
    let store = tempfile::tempdir().context("cannot make a directory for what the demo keeps")?;
    let run = RunArgs {
        plugins,
        kafka: embedded(broker.bootstrap_servers()),
        auto_offset_reset: OffsetReset::Earliest,
        create_topics: true,
        // Elsewhere it would need a token.
        desk: address.ip().is_loopback(),
        listen: address,
        mail_url: Some(format!("smtp://{smtp}")),
        store: Some(format!("sqlite:{}", store.path().join("host.db").display())),
        found: None,
    };
    let server = Server::start(
        listener,
        server::guard::access(&run, address)?,
        mailbox::router(mailbox, producer, run.desk),
    );
    // First of all: the producer then finds the topics it needs.
    let app = App::start(&run).await?;
    let settings = producer::Settings::new(&run.kafka.bootstrap_servers);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let stopped = async move { _ = stopped.await };
        producer::serve(api, &settings, stopped).await
    });
    eprint!("{}", app.summary(&run, address));
    eprintln!("  broker   embedded, in memory: for trying out, never for production");
    eprintln!("  producer http://{producer}");
    eprintln!("  mailbox  http://{address}/demo/mailbox");
    app.run(server, move || announce(producer, address, run.desk, started)).await?;
    // The producer ends with its own drain; it may have ended already.
    let _ = stop.send(());
    serving.await??;
    Ok(())
}

fn announce(producer: SocketAddr, address: SocketAddr, has_console: bool, started: Instant) {
    let fails = format!(
        "With \"to\":\"nobody\" it fails, and is kept: mend it and send it back at http://{address}/\n\n"
    );
    let fails = if has_console { &fails } else { "" };
    eprintln!(
        "Ready in {:.1} s. Try it, and then look at http://{address}/demo/mailbox\n\n  \
         curl http://{producer}/api/emails/send -H 'Content-Type: application/json' \\\n    \
         -d '{{\"from\":\"me@example.com\",\"to\":\"you@example.com\",\"subject\":\"Hello\",\"body\":\"It works.\"}}'\n\n\
         {fails}Ctrl-C ends it.",
        started.elapsed().as_secs_f64()
    );
}

/// The embedded broker creates topics when they are asked for, and sleeps through every empty
/// fetch for as long as the client lets it.
fn embedded(bootstrap_servers: String) -> KafkaArgs {
    let properties = [("allow.auto.create.topics", "true"), ("fetch.wait.max.ms", "20")];
    KafkaArgs {
        bootstrap_servers,
        properties: properties.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
        environment_properties: Vec::new(),
        file_properties: Vec::new(),
    }
}

fn find_plugins(given: Option<PathBuf>) -> Result<Vec<PathBuf>, UserError> {
    let directory = match given {
        Some(directory) => directory,
        None => built().ok_or_else(|| {
            UserError::usage("cannot tell where the plugins are").help("name them: --plugins DIR")
        })?,
    };
    let plugins: Vec<PathBuf> = PLUGINS.iter().map(|name| directory.join(name)).collect();
    match plugins.iter().find(|path| !path.is_file()) {
        None => Ok(plugins),
        Some(missing) => Err(UserError::usage(format!("{} is not there", missing.display()))
            .help("build the plugins: make build")
            .help("or say where they are: host demo --plugins DIR")),
    }
}

/// `target/wasm32-wasip2/release`, seen from `target/release/host`.
fn built() -> Option<PathBuf> {
    let executable = std::env::current_exe().ok()?;
    let target = executable.parent().and_then(Path::parent)?;
    Some(target.join("wasm32-wasip2").join("release"))
}
