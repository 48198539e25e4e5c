//! `host demo`: the complete system in one process, without Kafka.

mod broker;
pub mod mailbox;
mod plugins;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use base::stderr;
use cli::demo::Args;
use cli::layers::Origins;
use settings::KafkaArgs;
use settings::{OffsetReset, RunArgs};
use tokio::sync::oneshot;

use self::broker::Broker;
use self::mailbox::Mailbox;
use self::plugins::Plugins;
use crate::app::{self, App, Server};
use crate::signals::Signals;

/// Runs broker, producer, plugins and mailbox until Ctrl-C.
///
/// # Errors
/// The plugins are missing, or a port is in use.
pub async fn run(mut args: Args, mut signals: Signals) -> anyhow::Result<()> {
    let started = Instant::now();
    let Plugins { files, found, own } = Plugins::find(&mut args)?;
    let api = app::bind(args.producer_listen, "--producer-listen").await?;
    let listener = app::bind(args.listen, "--listen").await?;
    let (producer, address) = (api.local_addr()?, listener.local_addr()?);
    let broker = Broker::start().context("cannot start the embedded broker")?;
    let (mailbox, smtp) = Mailbox::start((Ipv4Addr::LOCALHOST, 0)).context("cannot start the mailbox")?;

    // A temporary store: topics and offsets of the embedded broker start over with each run.
    let store = tempfile::tempdir().context("cannot create a temporary directory")?;
    let run = Arc::new(RunArgs {
        plugins: files,
        kafka: embedded(broker.bootstrap_servers()),
        auto_offset_reset: OffsetReset::Earliest,
        create_topics: true,
        // Other addresses would require a token.
        desk: address.ip().is_loopback(),
        listen: address,
        mail_url: Some(format!("smtp://{smtp}")),
        store: Some(format!("sqlite:{}", store.path().join("host.db").display())),
        found,
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
    let stopped = async move { _ = stopped.await };
    // It publishes to the topics of the demo's own plugins.
    let serving =
        (own > 0).then(|| tokio::spawn(async move { producer::serve(api, &settings, stopped).await }));
    let mut summary = app.summary(&run, address) + "\n  broker   embedded, in memory; not for production";
    if serving.is_some() {
        summary.push_str(&format!("\n  producer http://{producer}"));
    }
    stderr::line(format_args!("{summary}\n  mailbox  http://{address}/demo/mailbox"));
    let ready = Ready {
        producer,
        address,
        has_console: run.desk,
        has_email: own > 0,
        broker: run.kafka.bootstrap_servers.clone(),
        others: app.topics().skip(own).collect(),
    };
    app.run(server, signals, move || ready.announce(started)).await?;
    // The receiver is dropped if the producer has ended already.
    let _ = stop.send(());
    if let Some(serving) = serving {
        serving.await??;
    }
    Ok(())
}

/// What can be tried, once it is ready.
struct Ready {
    producer: SocketAddr,
    address: SocketAddr,
    has_console: bool,
    /// Whether its own plugins run.
    has_email: bool,
    broker: String,
    /// The topics of the other plugins.
    others: Vec<String>,
}

impl Ready {
    fn announce(&self, started: Instant) {
        let Self { producer, address, .. } = self;
        let mut text = format!("Ready in {:.1} s.", started.elapsed().as_secs_f64());
        if self.has_email {
            text.push_str(&format!(
                " Send an e-mail, and open http://{address}/demo/mailbox\n\n  \
                 curl http://{producer}/api/emails/send -H 'Content-Type: application/json' \\\n    \
                 -d '{{\"from\":\"me@example.com\",\"to\":\"you@example.com\",\"subject\":\"Hello\",\"body\":\"It works.\"}}'"
            ));
        }
        if self.has_email && self.has_console {
            text.push_str(&format!(
                "\n\nWith \"to\":\"nobody@example.com\" it fails and becomes a dead letter. Edit and replay it at http://{address}/"
            ));
        }
        for topic in &self.others {
            text.push_str(&format!(
                "\n\nSend a message to {topic}:\n\n  echo '{{}}' | host produce {topic} --bootstrap-servers {}",
                self.broker
            ));
        }
        text.push_str("\n\nCtrl-C stops the demo.");
        text.lines().for_each(stderr::line);
    }
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
