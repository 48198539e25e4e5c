//! The configuration of Kafka clients, and the connection to Kafka.

use std::thread;
use std::time::{Duration, Instant};

use base::error::UserError;
use base::stderr;
use base::throttle::RepeatedLines;
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use settings::KafkaArgs;

use crate::errors::{self, Context};

/// The interval at which a lasting cause of librdkafka's errors is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// A client configuration: the connection settings, overridden by `own`, and by the user's properties.
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

/// Logs a line of librdkafka: errors as warnings, since it recovers by itself, and informational lines at debug level. Those
/// of one cause are logged once, and then once per interval: each attempt to connect of each client writes several.
pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    let is_error =
        matches!(level, RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical);
    let is_warning = matches!(level, RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning);
    // A consumer property in a producer's configuration, or vice versa: `-X` applies to all clients.
    if message.contains("Configuration property") || !(is_error || is_warning) {
        return tracing::debug!(target: "librdkafka", facility, "{message}");
    }
    match REPEATED.lock().count(facility, errors::cause(message)) {
        None => tracing::debug!(target: "librdkafka", facility, "{message}"),
        Some(0) if is_error => tracing::error!(target: "librdkafka", facility, "{message}"),
        Some(0) => tracing::warn!(target: "librdkafka", facility, "{message}"),
        Some(repeated) => tracing::warn!(target: "librdkafka", facility, repeated, "{message}"),
    }
}

/// The lines of all clients: they fail for the same reason.
static REPEATED: Mutex<RepeatedLines> = Mutex::new(RepeatedLines::new(LOG_INTERVAL));

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_logged_once_and_not_for_every_attempt_of_every_client() {
        let mut lines = RepeatedLines::new(LOG_INTERVAL);
        let refused = |client: &str| {
            format!(
                "[thrd:{client}/1]: {client}/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)"
            )
        };
        assert_eq!(lines.count("FAIL", errors::cause(&refused("a"))), Some(0));
        assert!((0..500).all(|n| lines.count("FAIL", errors::cause(&refused(["a", "b"][n % 2]))).is_none()));
        let other = errors::cause("[thrd:a/1]: a/1: Failed to resolve 'a:9092': unknown (after 2ms)");
        let other = lines.count("FAIL", other);
        assert_eq!(other, Some(0), "another cause is logged at once");
    }
}
