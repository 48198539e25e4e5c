//! The configuration of Kafka clients, and the connection to Kafka.

use std::thread;
use std::time::{Duration, Instant};

use base::error::UserError;
use base::stderr;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use settings::KafkaArgs;

use crate::errors::{self, Context};

/// A client configuration: the connection settings, then `own`, then the user's properties, each overriding
/// the previous ones.
pub fn config(kafka: &KafkaArgs, own: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &kafka.bootstrap_servers);
    config.set("client.id", "host");
    config.set("allow.auto.create.topics", "false");
    // The system's certificates: the default paths of the linked OpenSSL do not exist.
    config.set("ssl.ca.location", "probe");
    for (key, value) in own {
        config.set(*key, *value);
    }
    for (key, value) in kafka.given() {
        config.set(key, value);
    }
    config
}

/// A client that is not connected yet.
///
/// # Errors
/// librdkafka refuses the configuration.
pub fn open(kafka: &KafkaArgs, own: &[(&str, &str)]) -> Result<BaseConsumer<Context>, UserError> {
    config(kafka, own).create_with_context(Context::default()).map_err(|error| errors::invalid_config(&error))
}

/// Logs a line of librdkafka. Its errors are logged as warnings, since it recovers from them by itself, and
/// informational lines at debug level.
pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        // A consumer property in a producer's configuration, or vice versa: `-X` applies to all clients.
        _ if message.contains("Configuration property") => {
            tracing::debug!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            tracing::warn!(target: "librdkafka", facility, "{message}");
        }
        _ => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// Creates a client and waits until a broker responds.
///
/// # Errors
/// No broker responds within `bound`, or a broker refuses the client.
pub async fn connect(kafka: &KafkaArgs, bound: Duration) -> Result<BaseConsumer<Context>, UserError> {
    let client = open(kafka, &[])?;
    let until = Instant::now() + bound;
    let mut is_reported = false;
    loop {
        let response = tokio::task::block_in_place(|| client.fetch_metadata(None, Duration::from_secs(2)));
        match response {
            Ok(_) => return Ok(client),
            Err(error) if Instant::now() >= until || is_refused(&client) => {
                return Err(errors::unreachable(&kafka.bootstrap_servers, &client, &error));
            }
            Err(_) if !is_reported => {
                is_reported = true;
                let servers = &kafka.bootstrap_servers;
                stderr::line(format_args!("Waiting up to {} s for Kafka at {servers}", bound.as_secs()));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Drops a client on a thread of its own, since librdkafka takes up to a second to destroy one.
pub fn drop_in_background<C: ConsumerContext + 'static>(client: BaseConsumer<C>) {
    // Without a thread the closure, and with it the client, is dropped here.
    let _ = thread::Builder::new().name("drop client".to_owned()).spawn(move || drop(client));
}

fn is_refused(client: &BaseConsumer<Context>) -> bool {
    // Errors are queued as events.
    while let Some(Err(_)) = client.poll(Duration::ZERO) {}
    client.context().is_refused()
}
