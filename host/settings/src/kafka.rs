//! The arguments of every command for the connection to Kafka.

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

/// Checks addresses before connecting: librdkafka would assume port 9092, or fail after a long wait.
pub fn servers(text: &str) -> Result<String, String> {
    text.split(',').map(str::trim).try_for_each(server).map(|()| text.to_owned())
}

fn server(text: &str) -> Result<(), String> {
    let address = text.split_once("://").map_or(text, |(_, address)| address);
    // Brackets separate the colons of an IPv6 address from the one before the port.
    let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').unwrap_or_default())),
        None => address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
    };
    let port_is_good = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if host.is_empty() || host.contains(char::is_whitespace) || !port_is_good {
        return Err(format!("'{text}' is not HOST:PORT"));
    }
    Ok(())
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        // An environment variable that is set but empty.
        None if text.is_empty() => Ok(Default::default()),
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected PROPERTY=VALUE, for example -X security.protocol=ssl".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in
            ["localhost:9092", "a:1,b:2", "a", "[::1]:9092", "[::1]", "SASL_SSL://k.example:9093", "a:1, b:2"]
        {
            assert_eq!(servers(good), Ok(good.to_owned()));
        }
        for bad in ["", "a:", ":9092", "a:x", "a:0", "a:70000", "a:1,", "a b:1", "::1:9092", "[::1]92"] {
            assert!(servers(bad).is_err(), "{bad}");
        }
    }
}
