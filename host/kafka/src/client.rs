//! How this process reaches Kafka: the flags every command takes, and the settings they become.

use std::time::{Duration, Instant};

use base::error::UserError;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use settings::KafkaArgs;

use crate::errors::{self, Context};

/// The connection settings, with the caller's own on top of them and the person's `-X` last.
pub fn config(kafka: &KafkaArgs, own: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &kafka.bootstrap_servers);
    config.set("client.id", "host");
    config.set("allow.auto.create.topics", "false");
    // The system's certificates: those that the linked OpenSSL looks for are nowhere.
    config.set("ssl.ca.location", "probe");
    for (key, value) in own {
        config.set(*key, *value);
    }
    for (key, value) in kafka.given() {
        config.set(key, value);
    }
    config
}

/// Passes a line of librdkafka's own on: what it calls errors is worth a warning here, since it
/// goes on by itself; the rest is for those who look for it.
pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        // A property of consumers given to a producer, or the other way: `-X` goes to all clients.
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

/// Waits until a broker answers.
///
/// # Errors
/// None did within `bound`.
pub async fn wait(kafka: &KafkaArgs, bound: Duration) -> Result<(), UserError> {
    let client: BaseConsumer<Context> = config(kafka, &[])
        .create_with_context(Context::default())
        .map_err(|error| errors::refused(&error))?;
    let until = Instant::now() + bound;
    let mut told = false;
    loop {
        let answer = tokio::task::block_in_place(|| client.fetch_metadata(None, Duration::from_secs(2)));
        match answer {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() >= until || is_refused(&client) => {
                return Err(errors::away(&kafka.bootstrap_servers, &client, &error));
            }
            Err(_) if !told => {
                told = true;
                eprintln!("Waiting up to {} s for Kafka at {}", bound.as_secs(), kafka.bootstrap_servers);
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

fn is_refused(client: &BaseConsumer<Context>) -> bool {
    // Errors wait as events.
    while let Some(Err(_)) = client.poll(Duration::ZERO) {}
    client.context().is_refused()
}
