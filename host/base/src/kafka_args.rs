//! Parsers of the command-line arguments for the connection to Kafka.

/// Checks a comma-separated list of bootstrap servers before connecting: librdkafka would assume port 9092, or fail
/// after a long wait.
///
/// # Errors
/// A server is not an address.
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
    let is_valid_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if host.is_empty() || host.contains(char::is_whitespace) || !is_valid_port {
        return Err(format!("{text:?} is not an address: expected HOST:PORT, for example localhost:9092"));
    }
    Ok(())
}

/// Parses `PROPERTY=VALUE`. An empty text, from an environment variable that is set but empty, has an empty property.
///
/// # Errors
/// The text has another form.
pub fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
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
        for bad in [
            "", "a:", ":9092", "a:x", "a:0", "a:70000", "a:1,", "a:1,,b:2", "a b:1", "::1", "::1:9092",
            "[::1]92",
        ] {
            assert!(servers(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn properties() {
        assert_eq!(property("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(property(""), Ok(Default::default()));
        assert!(property("a").is_err() && property("=a").is_err());
    }
}
