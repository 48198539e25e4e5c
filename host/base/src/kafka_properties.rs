//! Properties of librdkafka that a user cannot set, because a guarantee depends on them or another setting decides.

use std::fmt;

use crate::error::UserError;

/// What a program does with Kafka. Each use includes the previous ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// It publishes messages.
    Publish,
    /// It reads messages too.
    Read,
    /// It hands messages to plugins.
    Handle,
}

/// Where a property is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `-X`.
    Flag,
    /// `KAFKA_PROPERTIES`.
    Environment,
    /// `[kafka.properties]` in `host.toml`.
    File,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "-X",
            Self::Environment => "KAFKA_PROPERTIES",
            Self::File => "[kafka.properties]",
        })
    }
}

struct Reserved {
    /// The property and its aliases.
    names: &'static [&'static str],
    /// The first use that depends on it.
    by: Use,
    /// The only value that is accepted.
    value: Option<&'static str>,
    reason: &'static str,
}

const fn reserved(names: &'static [&'static str], by: Use, reason: &'static str) -> Reserved {
    Reserved { names, by, value: None, reason }
}

const RESERVED: [Reserved; 18] = [
    reserved(
        &["acks", "request.required.acks"],
        Use::Publish,
        "a message counts as published when every in-sync replica has it",
    ),
    reserved(&["enable.idempotence"], Use::Publish, "without it, a message could be stored twice"),
    reserved(&["transactional.id"], Use::Publish, "messages are published without transactions"),
    reserved(
        &["delivery.report.only.error"],
        Use::Publish,
        "a message counts as published when Kafka has confirmed it",
    ),
    reserved(
        &["message.timeout.ms", "delivery.timeout.ms"],
        Use::Publish,
        "other times depend on it; the producer has --timeout",
    ),
    reserved(
        &["retries", "message.send.max.retries"],
        Use::Publish,
        "a message is sent until its time is over",
    ),
    reserved(&["bootstrap.servers", "metadata.broker.list"], Use::Publish, "--bootstrap-servers sets it"),
    reserved(&["plugin.library.paths"], Use::Publish, "a library in this process could change every message"),
    reserved(
        &["test.mock.num.brokers", "test.mock.broker.rtt"],
        Use::Publish,
        "it replaces Kafka by a broker in this process, which loses all messages when it ends",
    ),
    reserved(&["group.id"], Use::Read, "each plugin has its own group; host consume has --group"),
    reserved(&["group.protocol.type"], Use::Read, "the members of the groups are consumers"),
    reserved(
        &["auto.offset.reset"],
        Use::Read,
        "--auto-offset-reset sets it; host consume has --from-beginning",
    ),
    reserved(
        &["enable.auto.commit", "auto.commit.enable", "enable.auto.offset.store"],
        Use::Read,
        "only the offsets of finished messages are committed, or messages would be lost",
    ),
    reserved(&["offset.store.method", "offset.store.path"], Use::Read, "offsets are committed to Kafka"),
    reserved(
        &["enable.partition.eof"],
        Use::Handle,
        "the host has to see the end of a partition to commit it",
    ),
    reserved(
        &["message.max.bytes"],
        Use::Handle,
        "a retry or a dead letter may be as large as the message; the limit is the topic's",
    ),
    Reserved {
        names: &["group.protocol"],
        by: Use::Handle,
        value: Some("classic"),
        reason: "plugins support the protocol classic only: the broker would decide when partitions are given back",
    },
    Reserved {
        names: &["isolation.level"],
        by: Use::Handle,
        value: Some("read_committed"),
        reason: "plugins must not get messages of aborted transactions",
    },
];

/// Checks properties by name and value.
///
/// # Errors
/// A property is reserved. The error names it and gives the reason, without the value.
pub fn check<'p>(
    properties: impl IntoIterator<Item = &'p (String, String)>,
    place: Place,
    by: Use,
) -> Result<(), UserError> {
    for (name, value) in properties {
        let rows = RESERVED.iter().filter(|row| row.by <= by && row.names.contains(&name.as_str()));
        let Some(row) = rows.into_iter().find(|row| row.value != Some(value.as_str())) else { continue };
        let problem = format!("{place} {name}: cannot be set, because {}", row.reason);
        return Err(UserError::usage(problem).help(match place {
            Place::Flag => format!("remove -X {name}"),
            Place::Environment | Place::File => format!("remove {name} from {place}"),
        }));
    }
    Ok(())
}

/// librdkafka's reason for refusing the value of a property, without the value, which may be a secret.
pub fn without_value(reason: &str, value: &str) -> String {
    let reason = reason.trim();
    let shown = reason.replace(&format!(" \"{value}\""), "").replace(&format!(" {value} "), " ");
    if !value.is_empty() && shown.contains(value) { "its value is not accepted".to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, value: &str, by: Use) -> Option<String> {
        let properties = [(name.to_owned(), value.to_owned())];
        check(&properties, Place::File, by).err().map(|error| error.to_string())
    }

    #[test]
    fn each_reserved_property_is_refused_with_its_reason_and_without_its_value() {
        for Reserved { names, by, reason, .. } in RESERVED {
            for name in names {
                let error = refused(name, "hush", by).expect(name);
                assert!(error.contains(name) && error.contains(reason) && !error.contains("hush"), "{error}");
                assert!(error.contains(&format!("help: remove {name} from [kafka.properties]")), "{error}");
            }
        }
    }

    #[test]
    fn a_program_refuses_only_what_it_depends_on() {
        let shared =
            refused("acks", "1", Use::Publish).is_some() && refused("acks", "1", Use::Handle).is_some();
        assert!(shared);
        assert_eq!(refused("enable.auto.commit", "true", Use::Publish), None);
        assert!(refused("enable.auto.commit", "true", Use::Read).is_some());
        assert_eq!(refused("group.protocol", "consumer", Use::Read), None);
        assert!(refused("group.protocol", "consumer", Use::Handle).is_some());
        assert_eq!(refused("group.protocol", "classic", Use::Handle), None);
        for own in ["group.instance.id", "partition.assignment.strategy", "sasl.password", "linger.ms"] {
            assert_eq!(refused(own, "x", Use::Handle), None, "{own}");
        }
    }

    #[test]
    fn a_value_is_not_shown() {
        let choice = "Invalid value \"hush\" for configuration property \"security.protocol\"";
        assert_eq!(
            without_value(choice, "hush"),
            "Invalid value for configuration property \"security.protocol\""
        );
        let range = "Configuration property \"linger.ms\" value -5 is outside allowed range 0..900000";
        let shown = "Configuration property \"linger.ms\" value is outside allowed range 0..900000";
        assert_eq!(without_value(range, "-5"), shown);
        assert_eq!(without_value("cannot parse hush!", "hush"), "its value is not accepted");
        assert_eq!(without_value(" missing ", ""), "missing");
    }
}
