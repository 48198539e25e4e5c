//! Whether a message that failed can be in its topic all the same.
//!
//! Only librdkafka knows, and the `rdkafka` crate does not pass it on: the one unsafe call here.

use rdkafka::message::BorrowedMessage;
use rdkafka_sys::{rd_kafka_message_status, rd_kafka_msg_status_t};

use crate::publisher::Delivery;

/// Where a message of a delivery report with an error is.
#[allow(unsafe_code)]
pub(crate) fn of(message: &BorrowedMessage<'_>) -> Delivery {
    // SAFETY: the report owns the message that the pointer names for as long as `message` lives,
    // and the call reads one field of it.
    let status = unsafe { rd_kafka_message_status(message.ptr()) };
    match status {
        rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => Delivery::NotSent,
        _ => Delivery::Unknown,
    }
}
