//! What it means that a record was not acknowledged.

use kafka::publisher::Unacknowledged;
use rdkafka::error::RDKafkaErrorCode as Code;

/// What it means for the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Kafka or the topic does not work, which says nothing about the record: it was not published, and waits.
    Waits,
    /// As [`Meaning::Waits`]: the topic does not exist, or this client may not publish to it. Its producer remembers that.
    Closed,
    /// It is unknown whether it was published.
    Doubt,
    /// The producer has no room for it.
    Full,
    /// A retry may help.
    Transient,
    /// The topic does not take the record.
    Permanent,
}

impl Meaning {
    /// The meaning of an error. What a broker has refused was not written.
    pub fn of(error: Unacknowledged) -> Self {
        match error.code {
            Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::InvalidRecord => Self::Permanent,
            Code::QueueFull => Self::Full,
            Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownPartition
            | Code::InvalidTopic
            | Code::TopicAuthorizationFailed => Self::Closed,
            Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::NotEnoughReplicas
            | Code::KafkaStorageError
            | Code::ClusterAuthorizationFailed
            | Code::PolicyViolation
            // The clock of this machine is wrong.
            | Code::InvalidTimestamp => Self::Waits,
            _ if error.may_be_there => Self::Doubt,
            // librdkafka cannot send it as it is.
            Code::InvalidArgument | Code::BadMessage => Self::Transient,
            Code::BrokerNotAvailable
            | Code::RequestTimedOut
            | Code::NetworkException
            | Code::UnknownProducerId
            | Code::InvalidProducerEpoch => Self::Waits,
            code if is_local(code) => Self::Waits,
            _ => Self::Transient,
        }
    }
}

/// Whether it is one of librdkafka's own codes, not a broker's. For example, librdkafka drops what waits for a partition
/// that no longer exists, with `_DESTROY`.
fn is_local(code: Code) -> bool {
    (code as i32) < Code::Unknown as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_concerns_the_record_costs_an_attempt() {
        let meaning = |code, may_be_there| Meaning::of(Unacknowledged { code, may_be_there });
        for (code, never_sent, sent) in [
            (Code::MessageSizeTooLarge, Meaning::Permanent, Meaning::Permanent),
            (Code::InvalidRecord, Meaning::Permanent, Meaning::Permanent),
            (Code::UnknownTopicOrPartition, Meaning::Closed, Meaning::Closed),
            (Code::TopicAuthorizationFailed, Meaning::Closed, Meaning::Closed),
            (Code::NotEnoughReplicas, Meaning::Waits, Meaning::Waits),
            // The leader has it, and the others do not.
            (Code::NotEnoughReplicasAfterAppend, Meaning::Transient, Meaning::Doubt),
            (Code::MessageTimedOut, Meaning::Waits, Meaning::Doubt),
            (Code::BrokerTransportFailure, Meaning::Waits, Meaning::Doubt),
            (Code::Fatal, Meaning::Waits, Meaning::Doubt),
            // A report without an offset.
            (Code::Inconsistent, Meaning::Waits, Meaning::Doubt),
            (Code::QueueFull, Meaning::Full, Meaning::Full),
            // Its partition no longer exists.
            (Code::BrokerDestroy, Meaning::Waits, Meaning::Doubt),
            (Code::PurgeQueue, Meaning::Waits, Meaning::Doubt),
            (Code::InvalidArgument, Meaning::Transient, Meaning::Doubt),
            (Code::RequestTimedOut, Meaning::Waits, Meaning::Doubt),
            (Code::Unknown, Meaning::Transient, Meaning::Doubt),
            (Code::UnsupportedVersion, Meaning::Transient, Meaning::Doubt),
        ] {
            assert_eq!((meaning(code, false), meaning(code, true)), (never_sent, sent), "{code:?}");
        }
    }
}
