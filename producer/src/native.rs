//! Calls of librdkafka that the `rdkafka` crate does not expose: the only unsafe code of the producer.

use std::ffi::CString;

use rdkafka::client::{Client, ClientContext};
use rdkafka::message::BorrowedMessage;
use rdkafka_sys::{rd_kafka_brokers_add, rd_kafka_message_status, rd_kafka_msg_status_t};

use crate::publisher::Delivery;

/// Adds the bootstrap servers to a client again that has lost all its brokers.
///
/// librdkafka drops brokers that are missing from a metadata response. The broker of a single-node cluster
/// lists none for a moment after a pause, and the client then has no broker left to connect to.
#[allow(unsafe_code)]
pub(crate) fn bootstrap_again<C: ClientContext>(client: &Client<C>, servers: &str) {
    if let Ok(servers) = CString::new(servers) {
        // SAFETY: client and string live for the call, which copies the string.
        unsafe { rd_kafka_brokers_add(client.native_ptr(), servers.as_ptr()) };
    }
}

/// The delivery state of a message whose delivery report has an error. Only librdkafka knows it.
#[allow(unsafe_code)]
pub(crate) fn delivery_of(message: &BorrowedMessage<'_>) -> Delivery {
    // SAFETY: the pointer is valid as long as `message` lives, and the call only reads a field.
    let status = unsafe { rd_kafka_message_status(message.ptr()) };
    match status {
        rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => Delivery::NotSent,
        _ => Delivery::Unknown,
    }
}
