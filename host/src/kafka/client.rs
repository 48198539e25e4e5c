//! How this process reaches Kafka: the flags every command takes, and the settings they become.

use clap::Args;
use rdkafka::ClientConfig;

/// How to reach Kafka.
#[derive(Debug, Clone, Args)]
pub struct KafkaArgs {
    /// Kafka brokers, comma-separated
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9092", env = "KAFKA_BOOTSTRAP_SERVERS")]
    pub bootstrap_servers: String,
    /// Any librdkafka property, e.g. -X security.protocol=ssl; repeat for more
    #[arg(short = 'X', value_name = "PROPERTY=VALUE", value_parser = property, env = "KAFKA_PROPERTIES", value_delimiter = ';')]
    pub properties: Vec<(String, String)>,
}

impl KafkaArgs {
    /// The connection settings, with the caller's own on top of them and the person's `-X` last.
    pub fn config(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers);
        config.set("client.id", "host");
        config.set("allow.auto.create.topics", "false");
        for (key, value) in own {
            config.set(*key, *value);
        }
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config
    }
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected PROPERTY=VALUE, as in -X security.protocol=ssl".to_owned()),
    }
}
