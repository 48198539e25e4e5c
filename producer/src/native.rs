//! What librdkafka offers and the `rdkafka` crate does not pass on.

pub(crate) use kafka_raw::bootstrap_again;
use rdkafka::message::BorrowedMessage;

use crate::publisher::Delivery;

/// Whether the message of a delivery report with an error is in its topic, which only librdkafka knows.
pub(crate) fn delivery_of(message: &BorrowedMessage<'_>) -> Delivery {
    if kafka_raw::may_be_persisted(message) { Delivery::Unknown } else { Delivery::NotSent }
}
