//! A consumed message.

use std::ptr::NonNull;
use std::sync::Arc;

use rdkafka_sys as sys;

use crate::bytes;
use crate::headers::{self, Headers};
use crate::queue::Queue;

/// A consumed message, owned and stored by librdkafka until it is dropped.
pub struct Message {
    ptr: NonNull<sys::rd_kafka_message_t>,
    _queue: Arc<Queue>,
}

// SAFETY: a message has one owner. It is not Sync: headers are parsed on first use.
unsafe impl Send for Message {}

/// The meaning of a record's timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// Set by the sender.
    CreateTime,
    /// Set by the broker.
    LogAppendTime,
}

impl Message {
    /// Takes ownership of a message that `queue` returned.
    pub(crate) fn new(ptr: NonNull<sys::rd_kafka_message_t>, queue: Arc<Queue>) -> Self {
        Self { ptr, _queue: queue }
    }

    /// Its offset in the partition it was read from.
    pub fn offset(&self) -> i64 {
        self.raw().offset
    }

    /// The key, which may be empty. None is a null key.
    pub fn key(&self) -> Option<&[u8]> {
        // SAFETY: librdkafka keeps the key as long as the message.
        unsafe { bytes(self.raw().key, self.raw().key_len) }
    }

    /// The value, which may be empty. None is a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        // SAFETY: librdkafka keeps the payload as long as the message.
        unsafe { bytes(self.raw().payload, self.raw().len) }
    }

    /// The size of key and value in bytes.
    pub fn size(&self) -> usize {
        self.value().map_or(0, <[u8]>::len) + self.key().map_or(0, <[u8]>::len)
    }

    /// The timestamp in milliseconds since the Unix epoch; None if the record has none.
    pub fn timestamp(&self) -> Option<(i64, TimestampType)> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: both pointers are valid for the call.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.ptr.as_ptr(), &mut kind) };
        match kind {
            // The protocol's number for no timestamp.
            _ if millis == -1 => None,
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => {
                Some((millis, TimestampType::CreateTime))
            }
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => {
                Some((millis, TimestampType::LogAppendTime))
            }
            _ => None,
        }
    }

    /// The headers, in the record's order.
    pub fn headers(&self) -> Headers<'_> {
        // SAFETY: the message is ours, and borrowed for as long as its headers.
        unsafe { headers::headers_of(self.ptr.as_ptr()) }
    }

    pub(crate) fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: valid until `drop`.
        unsafe { self.ptr.as_ref() }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: owned, destroyed once; the queue, and with it the consumer, is still alive.
        unsafe { sys::rd_kafka_message_destroy(self.ptr.as_ptr()) }
    }
}
