//! The arguments of every command for the connection to Kafka.

use base::kafka_args::{property, servers};
use clap::Args;

/// The connection to Kafka.
#[derive(Debug, Clone, Args)]
pub struct KafkaArgs {
    /// Bootstrap servers of Kafka, comma-separated
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9092", value_parser = servers, env = "KAFKA_BOOTSTRAP_SERVERS")]
    pub bootstrap_servers: String,
    /// A property of librdkafka, such as security.protocol=ssl; can be repeated. Takes precedence over
    /// KAFKA_PROPERTIES="a=b;c=d"
    #[arg(short = 'X', value_name = "PROPERTY=VALUE", value_parser = property)]
    pub properties: Vec<(String, String)>,
    /// Properties from the environment; `-X` takes precedence.
    #[arg(long = "environment-property", hide = true, value_name = "KAFKA_PROPERTIES", value_parser = property, env = "KAFKA_PROPERTIES", value_delimiter = ';')]
    pub environment_properties: Vec<(String, String)>,
    /// Properties from `host.toml`; the environment takes precedence.
    #[arg(long = "file-property", hide = true, value_name = "kafka.properties of host.toml", value_parser = property)]
    pub file_properties: Vec<(String, String)>,
}

impl KafkaArgs {
    /// The given properties by precedence, the highest last.
    pub fn given(&self) -> impl DoubleEndedIterator<Item = &(String, String)> {
        let layers = [&self.file_properties, &self.environment_properties, &self.properties];
        layers.into_iter().flatten().filter(|(key, _)| !key.is_empty())
    }
}
