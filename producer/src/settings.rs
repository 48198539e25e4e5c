//! Settings and the Kafka client configuration.

use std::time::Duration;

use base::error::UserError;
use base::kafka_args::{PropertyList, property, property_list, servers};
use base::kafka_properties::{Place, Use, check, without_value};
use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

/// The topic for e-mails.
pub const EMAIL_TOPIC: &str = "email.send";
/// The topic for SMS.
pub const SMS_TOPIC: &str = "sms.send";

/// The maximum size of a request body.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// librdkafka scans for expired messages once a second. A message must therefore expire this long before
/// its request times out.
const MESSAGE_TIMEOUT_MARGIN: Duration = Duration::from_millis(1500);
/// A response is sent this long before the timeout, so that it arrives in time.
const RESPONSE_MARGIN: Duration = Duration::from_millis(200);

/// The connection to Kafka and the request timeout.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Bootstrap servers of Kafka, comma-separated
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9092", env = "KAFKA_BOOTSTRAP_SERVERS", value_parser = servers)]
    pub bootstrap_servers: String,
    /// A property of librdkafka, such as security.protocol=ssl; can be repeated. Takes precedence over
    /// KAFKA_PROPERTIES="a=b;c=d", which has one property per line if a value contains a semicolon
    #[arg(short = 'X', value_name = "PROPERTY=VALUE", value_parser = property)]
    pub properties: Vec<(String, String)>,
    /// Properties from the environment; `-X` takes precedence.
    #[arg(long = "environment-property", hide = true, value_name = "KAFKA_PROPERTIES", value_parser = property_list, env = "KAFKA_PROPERTIES")]
    pub environment_properties: Option<PropertyList>,
    /// Maximum time until a request is answered, in seconds (3 to 300)
    #[arg(long = "timeout", value_name = "SECONDS", default_value = "5", env = "PRODUCER_TIMEOUT", value_parser = seconds)]
    pub timeout: Duration,
    /// Create missing topics with the broker's defaults
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", env = "PRODUCER_CREATE_TOPICS")]
    pub create_topics: bool,
}

impl Settings {
    /// The defaults of the command line for the brokers at `bootstrap_servers`.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            properties: Vec::new(),
            environment_properties: None,
            timeout: Duration::from_secs(5),
            create_topics: true,
        }
    }

    /// Checks that librdkafka knows the properties and accepts their values.
    ///
    /// # Errors
    /// A property is unknown, reserved or invalid; the error names it.
    pub fn check(&self) -> Result<(), UserError> {
        self.client_config()?.create_native_config().map(drop).map_err(|error| refused_config(&error))
    }

    /// How long a request waits for Kafka's confirmation.
    pub(crate) fn report_timeout(&self) -> Duration {
        self.timeout.saturating_sub(RESPONSE_MARGIN)
    }

    /// The client configuration: the producer's own properties, then those of `-X`.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, UserError> {
        let message_timeout = self.timeout.saturating_sub(MESSAGE_TIMEOUT_MARGIN).as_millis().max(1);
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", "producer")
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", message_timeout.to_string())
            .set("allow.auto.create.topics", "false")
            // Use the system's certificates: the default paths of the linked OpenSSL do not exist.
            .set("ssl.ca.location", "probe")
            // Leave the limit to the topic: the client's default is lower than the broker's.
            .set("message.max.bytes", (MAX_BODY_BYTES + 64 * 1024).to_string())
            .set("queue.buffering.max.messages", "20000")
            .set("queue.buffering.max.kbytes", "65536")
            // Measured with 64 connections: a batch is sent with 64 messages or after 1 ms. Without the
            // count, every batch waits for 1 ms; with a shorter wait, batches are too small. With hundreds
            // of connections on few cores, -X batch.num.messages=1000 is faster.
            .set("linger.ms", "1")
            .set("batch.num.messages", "64")
            // Below the usual topic limit, so that only a single message can exceed it, never a batch.
            .set("batch.size", "65536")
            .set("socket.nagle.disable", "true")
            .set("socket.connection.setup.timeout.ms", "3000")
            .set("reconnect.backoff.max.ms", "1000");
        let environment = self.environment_properties.as_ref().map_or(&[][..], |list| &list.0);
        for (place, properties) in [(Place::Environment, environment), (Place::Flag, &self.properties)] {
            check(properties, place, Use::Publish)?;
            properties.iter().for_each(|(key, value)| {
                config.set(key, value);
            });
        }
        Ok(config)
    }
}

/// librdkafka's reason for refusing a configuration, with the next step.
pub(crate) fn refused_config(error: &KafkaError) -> UserError {
    match error {
        KafkaError::ClientConfig(_, description, key, value) => UserError::usage(format!(
            "invalid Kafka property {key}: {}",
            without_value(description, value)
        ))
        .help("list of properties: https://github.com/confluentinc/librdkafka/blob/v2.12.1/CONFIGURATION.md"),
        other => UserError::usage(format!("the Kafka client cannot be created: {other}"))
            .help("check --bootstrap-servers, the -X properties and the files that they name"),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 3..=300) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected a whole number of seconds from 3 to 300".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_checked_and_the_flag_overrides_the_environment() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut settings = Settings::new("localhost:9092");
        settings.environment_properties =
            Some(PropertyList(vec![pair("linger.ms", "2"), pair("client.id", "environment")]));
        settings.properties.push(pair("linger.ms", "3"));
        let config = settings.client_config().expect("a configuration");
        assert_eq!((config.get("linger.ms"), config.get("client.id")), (Some("3"), Some("environment")));
        settings.environment_properties = Some(PropertyList(vec![pair("acks", "1")]));
        let refused = settings.client_config().expect_err("acks=1").to_string();
        assert!(refused.contains("KAFKA_PROPERTIES acks"), "{refused}");
    }

    #[test]
    fn a_message_expires_before_its_request_times_out() {
        for timeout in [3, 5, 300] {
            let settings = Settings { timeout: Duration::from_secs(timeout), ..Settings::new("localhost") };
            let config = settings.client_config().expect("config");
            let message: u64 = config.get("message.timeout.ms").and_then(|ms| ms.parse().ok()).expect("set");
            // One second for librdkafka's scan.
            assert!(Duration::from_millis(message + 1000) < settings.report_timeout());
            assert!(settings.report_timeout() < settings.timeout);
        }
    }
}
