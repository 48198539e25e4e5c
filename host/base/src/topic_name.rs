//! Names of topics.

/// The maximum length of a topic name in Kafka.
pub const MAX_TOPIC_NAME: usize = 249;

/// Whether this is a valid topic name in Kafka.
pub fn is_topic(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_TOPIC_NAME).contains(&name.len()) && name.bytes().all(legal) && !matches!(name, "." | "..")
}

/// The owner of a topic that nobody else publishes to, by its name: Kafka, or a host, which keeps held keys and decisions
/// about retries in it.
pub fn owner(name: &str) -> Option<&'static str> {
    if name.starts_with("__") {
        return Some("Kafka");
    }
    ["-held", "-waiting"].iter().any(|suffix| name.ends_with(suffix)).then_some("the host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_are_kafkas() {
        assert!(is_topic("email.send") && is_topic("a_b-c.9"));
        assert!(is_topic(&"x".repeat(249)) && !is_topic(&"x".repeat(250)));
        assert!(!is_topic("") && !is_topic("..") && !is_topic("a b"));
    }

    #[test]
    fn topics_of_kafka_and_of_hosts_are_known_by_their_names() {
        assert_eq!((owner("__consumer_offsets"), owner("orders")), (Some("Kafka"), None));
        for name in ["orders-held", "orders-waiting"] {
            assert_eq!(owner(name), Some("the host"), "{name}");
        }
    }
}
