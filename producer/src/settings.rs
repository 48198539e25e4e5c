//! Settings and the Kafka client configuration.

use std::time::Duration;

use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use crate::failure::Failure;

/// The topic for e-mails.
pub const EMAIL_TOPIC: &str = "email.send";
/// The topic for SMS.
pub const SMS_TOPIC: &str = "sms.send";

/// The maximum size of a request body.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// librdkafka scans for expired messages once a second. A message must therefore expire this long before
/// its request times out.
const MESSAGE_TIMEOUT_MARGIN: Duration = Duration::from_millis(1500);
/// A response is sent this long before the timeout, so that it also arrives in time.
const ANSWER_MARGIN: Duration = Duration::from_millis(200);

/// Properties that the delivery guarantee depends on, or that another flag sets, with the reason.
const RESERVED: [(&str, &str); 7] = [
    ("acks", "status 200 means that every in-sync replica has the message"),
    ("request.required.acks", "status 200 means that every in-sync replica has the message"),
    ("enable.idempotence", "without it, a message could be stored twice"),
    ("transactional.id", "the producer does not use transactions"),
    ("delivery.report.only.error", "the producer responds once Kafka has confirmed the message"),
    ("message.timeout.ms", "it is derived from --timeout"),
    ("delivery.timeout.ms", "it is derived from --timeout"),
];

/// The connection to Kafka and the request timeout.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Kafka brokers to connect to first, comma-separated
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9092", env = "KAFKA_BOOTSTRAP_SERVERS", value_parser = servers)]
    pub bootstrap_servers: String,
    /// A librdkafka property, as in -X security.protocol=ssl; may be repeated
    #[arg(short = 'X', value_name = "PROPERTY=VALUE", value_parser = property, env = "KAFKA_PROPERTIES", value_delimiter = ';')]
    pub properties: Vec<(String, String)>,
    /// Maximum time until a request is answered, in seconds (3 to 300)
    #[arg(long = "timeout", value_name = "SECONDS", default_value = "5", env = "PRODUCER_TIMEOUT", value_parser = seconds)]
    pub timeout: Duration,
    /// Create missing topics with the broker's defaults
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", env = "PRODUCER_CREATE_TOPICS")]
    pub create_topics: bool,
}

impl Settings {
    /// The defaults of the command line for the brokers at `bootstrap_servers`.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            properties: Vec::new(),
            timeout: Duration::from_secs(5),
            create_topics: true,
        }
    }

    /// Checks that librdkafka knows the properties and accepts their values.
    ///
    /// # Errors
    /// A [`Failure`] that names the property.
    pub fn check(&self) -> Result<(), Failure> {
        self.client_config()?.create_native_config().map(drop).map_err(|error| refused_config(&error))
    }

    /// How long a request waits for Kafka's confirmation.
    pub(crate) fn report_timeout(&self) -> Duration {
        self.timeout.saturating_sub(ANSWER_MARGIN)
    }

    /// The client configuration: the producer's own properties, then those of `-X`.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, Failure> {
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
        for (key, value) in self.properties.iter().filter(|(key, _)| !key.is_empty()) {
            if let Some((_, why)) = RESERVED.iter().find(|(reserved, _)| reserved == key) {
                return Err(Failure::new(
                    format!("-X {key}={value}: the producer sets {key} itself, since {why}"),
                    format!("leave {key} out"),
                ));
            }
            config.set(key, value);
        }
        Ok(config)
    }
}

/// librdkafka's reason for refusing a configuration, with the next step.
pub(crate) fn refused_config(error: &KafkaError) -> Failure {
    match error {
        // Without the value, which may be a secret.
        KafkaError::ClientConfig(_, description, key, _) => Failure::new(
            format!("-X {key}: {description}"),
            "the properties are listed in https://github.com/confluentinc/librdkafka/blob/v2.12.1/CONFIGURATION.md",
        ),
        other => Failure::new(
            format!("the Kafka client cannot be created: {other}"),
            "check --bootstrap-servers, the -X properties and the files they refer to",
        ),
    }
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        // From an environment variable that is set but empty.
        None if text.is_empty() => Ok(Default::default()),
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected PROPERTY=VALUE, as in -X security.protocol=ssl".to_owned()),
    }
}

fn servers(text: &str) -> Result<String, String> {
    let broken =
        |server: &str| format!("{server:?} is not an address: expected HOST:PORT, as in localhost:9092");
    for server in text.split(',') {
        let address = server.trim().rsplit_once("://").map_or(server.trim(), |(_, address)| address);
        let (host, port) = match address.rsplit_once(':') {
            // An IPv6 address without a port.
            _ if address.ends_with(']') => (address, None),
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        };
        let bare_ipv6 = host.contains(':') && !host.starts_with('[');
        let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        if host.is_empty() || bare_ipv6 || host.contains(char::is_whitespace) || !port_fits {
            return Err(broken(server));
        }
    }
    Ok(text.to_owned())
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
    fn broker_addresses_are_checked() {
        for good in ["localhost", "localhost:9092", "a:1,b:2", "[::1]:9092", "SASL_SSL://kafka:9093"] {
            assert!(servers(good).is_ok(), "{good}");
        }
        for bad in ["", ":9092", "localhost:", "localhost:0", "localhost:70000", "a:1,,b:2", "::1", "a b:1"] {
            assert!(servers(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reserved_properties_cannot_be_set() {
        for (reserved, _) in RESERVED {
            let mut settings = Settings::new("localhost:9092");
            settings.properties.push((reserved.to_owned(), "1".to_owned()));
            let failure = settings.client_config().expect_err(reserved);
            assert!(failure.what().contains(reserved));
        }
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
