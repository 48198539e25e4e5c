//! Parsers of the command-line arguments for the connection to Kafka.

use clap::error::{ContextKind, ContextValue};

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

/// Parses `PROPERTY=VALUE`.
///
/// # Errors
/// The text has another form. The error leaves it out, since it may be a secret.
pub fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("expected PROPERTY=VALUE, for example -X security.protocol=ssl".to_owned()),
    }
}

/// The properties in an environment variable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PropertyList(pub Vec<(String, String)>);

/// The names of librdkafka's properties without a dot.
const WITHOUT_DOT: [&str; 5] = ["acks", "debug", "log_level", "partitioner", "retries"];

/// Parses properties that are separated by `;` or, if the text has a line break, by line breaks. A value on a line of
/// its own may contain `;`.
///
/// # Errors
/// A property has another form, or a name that none has: probably the rest of a value that contains `;`. The error
/// names its number only, since it may be part of a secret.
pub fn property_list(text: &str) -> Result<PropertyList, String> {
    let lines = text.contains('\n');
    let entries = text.split(if lines { '\n' } else { ';' });
    let entries = entries.map(|entry| entry.strip_suffix('\r').unwrap_or(entry)).enumerate();
    let given = entries.filter(|(_, entry)| !entry.trim().is_empty());
    let parsed = given.map(|(index, entry)| {
        property(entry).ok().filter(|(name, _)| is_name(name)).ok_or_else(|| {
            let (unit, number) = (if lines { "line" } else { "property" }, index + 1);
            let help =
                if lines { "" } else { "; if a value contains ';', put each property on a line of its own" };
            format!("{unit} {number} is not PROPERTY=VALUE{help}")
        })
    });
    parsed.collect::<Result<_, _>>().map(PropertyList)
}

/// Hides the value of a Kafka property, which may be a secret, in an error of the command line.
pub fn hide_property(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return error };
    let named = match argument.split(' ').next() {
        Some("-X") => argument.clone(),
        Some("--environment-property") => "KAFKA_PROPERTIES".to_owned(),
        Some("--file-property") => "[kafka.properties]".to_owned(),
        _ => return error,
    };
    error.insert(ContextKind::InvalidArg, ContextValue::String(named));
    error.insert(ContextKind::InvalidValue, ContextValue::String("***".to_owned()));
    error
}

fn is_name(name: &str) -> bool {
    let is_known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_');
    name.chars().all(is_known) && (name.contains('.') || WITHOUT_DOT.contains(&name))
}

/// The id of the cluster of the embedded broker begins so.
const EMBEDDED: &str = "mockCluster";

/// Whether this is the id of the cluster of the embedded broker.
pub fn is_embedded(cluster: Option<&str>) -> bool {
    cluster.is_some_and(|id| id.starts_with(EMBEDDED))
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
        assert!(property("a").is_err() && property("=a").is_err() && property("").is_err());
    }

    fn list(text: &str) -> Vec<(String, String)> {
        property_list(text).expect("a list").0
    }

    fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    #[test]
    fn semicolons_or_lines_separate_properties() {
        assert_eq!(list(""), []);
        let two = pairs([("sasl.password", "a b=c "), ("acks", "all")]);
        assert_eq!(list("sasl.password=a b=c ;acks=all"), two);
        assert_eq!(list(";sasl.password=a b=c ;; acks=all;"), two);
        assert_eq!(list("sasl.password=a b=c \r\n\n  acks=all\r\n"), two);
        let one = pairs([("sasl.password", "a;b=c;\"d")]);
        assert_eq!(list("sasl.password=a;b=c;\"d\n"), one);
        assert_eq!(list("\nsasl.password=a;b=c;\"d"), one);
    }

    #[test]
    fn an_error_about_a_list_shows_no_part_of_it() {
        for text in
            ["sasl.password=hush;hush", "sasl.password=x;hush=y", "sasl.password=x;h.U=y", "hush", "x\nhush"]
        {
            let error = property_list(text).expect_err(text);
            assert!(!error.contains("hush") && error.contains("PROPERTY=VALUE"), "{error}");
        }
        let error = property_list("sasl.password=a;b").expect_err("no name");
        assert!(error.starts_with("property 2 ") && error.contains("on a line of its own"), "{error}");
    }
}
