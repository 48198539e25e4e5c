//! What librdkafka offers and the `rdkafka` crate does not pass on: the two unsafe calls here.

use std::ffi::CString;

use rdkafka::client::{Client, ClientContext};
use rdkafka::message::BorrowedMessage;
use rdkafka_sys::{rd_kafka_brokers_add, rd_kafka_message_status, rd_kafka_msg_status_t};

use crate::publisher::Delivery;

/// Gives a client that reaches nobody its first brokers back.
///
/// librdkafka drops the brokers that a metadata answer does not list. A single broker that comes
/// back from a pause lists none for a moment: the client then has nobody left to ask.
#[allow(unsafe_code)]
pub(crate) fn bootstrap_again<C: ClientContext>(client: &Client<C>, servers: &str) {
    if let Ok(servers) = CString::new(servers) {
        // SAFETY: client and text live for the call, which copies what it needs.
        unsafe { rd_kafka_brokers_add(client.native_ptr(), servers.as_ptr()) };
    }
}

/// Where a message of a delivery report with an error is, which only librdkafka knows.
#[allow(unsafe_code)]
pub(crate) fn delivery_of(message: &BorrowedMessage<'_>) -> Delivery {
    // SAFETY: the report owns the message that the pointer names for as long as `message` lives,
    // and the call reads one field of it.
    let status = unsafe { rd_kafka_message_status(message.ptr()) };
    match status {
        rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => Delivery::NotSent,
        _ => Delivery::Unknown,
    }
}
