//! The arguments of every command for the connection to Kafka.

use base::error::UserError;
use base::kafka_args::{PropertyList, property, property_list, servers};
use base::kafka_properties::{Place, Use, check};
use clap::Args;

/// The connection to Kafka.
#[derive(Debug, Clone, Args)]
pub struct KafkaArgs {
    /// Bootstrap servers of Kafka, comma-separated
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9092", value_parser = servers, env = "KAFKA_BOOTSTRAP_SERVERS")]
    pub bootstrap_servers: String,
    /// A property of librdkafka, such as security.protocol=ssl; can be repeated. Takes precedence over
    /// KAFKA_PROPERTIES="a=b;c=d", which has one property per line if a value contains a semicolon
    #[arg(short = 'X', value_name = "PROPERTY=VALUE", value_parser = property)]
    pub properties: Vec<(String, String)>,
    /// Properties from the environment; `-X` takes precedence.
    #[arg(long = "environment-property", hide = true, value_name = "KAFKA_PROPERTIES", value_parser = property_list, env = "KAFKA_PROPERTIES")]
    pub environment_properties: Option<PropertyList>,
    /// Properties from `host.toml`; the environment takes precedence.
    #[arg(long = "file-property", hide = true, value_name = "kafka.properties of host.toml", value_parser = property)]
    pub file_properties: Vec<(String, String)>,
}

impl KafkaArgs {
    /// The given properties by precedence, the highest last.
    pub fn given(&self) -> impl DoubleEndedIterator<Item = &(String, String)> {
        self.layers().into_iter().flat_map(|(_, properties)| properties)
    }

    /// The given properties by where they are set, the highest precedence last.
    pub fn layers(&self) -> [(Place, &[(String, String)]); 3] {
        let environment = self.environment_properties.as_ref().map_or(&[][..], |list| &list.0);
        [
            (Place::File, &self.file_properties),
            (Place::Environment, environment),
            (Place::Flag, &self.properties),
        ]
    }

    /// Checks that the host leaves these properties to the user.
    ///
    /// # Errors
    /// A guarantee depends on a property, or another setting decides.
    pub fn check(&self, by: Use) -> Result<(), UserError> {
        self.layers().into_iter().try_for_each(|(place, properties)| check(properties, place, by))
    }
}
