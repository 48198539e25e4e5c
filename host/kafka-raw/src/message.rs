//! A consumed message.

use std::ptr::NonNull;
use std::sync::Arc;

use rdkafka_sys as sys;

use crate::bytes;
use crate::headers::{self, HeaderList, Headers};
use crate::queue::Queue;

/// The memory of a header, and of a message, besides their bytes.
const OVERHEAD: usize = 64;

/// A consumed message. It is stored by librdkafka, together with all that was fetched with it, until it is dropped or
/// [detached](Self::detached).
pub struct Message {
    stored: Stored,
    /// Bytes, computed once.
    size: usize,
}

enum Stored {
    Fetched(Fetched),
    Detached(Box<Record>),
}

/// A message of librdkafka, owned.
pub(crate) struct Fetched {
    ptr: NonNull<sys::rd_kafka_message_t>,
    _queue: Arc<Queue>,
}

/// A copy of a message.
struct Record {
    offset: i64,
    leader_epoch: Option<i32>,
    timestamp: Option<(i64, TimestampType)>,
    key: Option<Box<[u8]>>,
    value: Option<Box<[u8]>>,
    headers: HeaderList,
}

// SAFETY: a message has one owner. It is not Sync: headers are parsed on first use.
unsafe impl Send for Fetched {}

/// The meaning of a record's timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// Set by the sender.
    CreateTime,
    /// Set by the broker.
    LogAppendTime,
}

impl Message {
    pub(crate) fn new(fetched: Fetched) -> Self {
        let headers: usize =
            fetched.headers().map(|(name, value)| OVERHEAD + name.len() + value.map_or(0, <[u8]>::len)).sum();
        let parts = fetched.value().map_or(0, <[u8]>::len) + fetched.key().map_or(0, <[u8]>::len);
        Self { size: OVERHEAD + parts + headers, stored: Stored::Fetched(fetched) }
    }

    /// A message that no client has fetched, for simulations.
    pub fn simulated(offset: i64, leader_epoch: i32, key: &[u8], value: &[u8]) -> Self {
        let record = Record {
            offset,
            leader_epoch: Some(leader_epoch),
            timestamp: None,
            key: Some(key.into()),
            value: Some(value.into()),
            headers: HeaderList::with_capacity(0),
        };
        Self { size: OVERHEAD + key.len() + value.len(), stored: Stored::Detached(Box::new(record)) }
    }

    /// A copy that does not keep in memory what was fetched with it, for a message that has to wait.
    #[must_use]
    pub fn detached(self) -> Self {
        let Stored::Fetched(fetched) = self.stored else { return self };
        let all = fetched.headers();
        let mut headers = HeaderList::with_capacity(all.clone().count());
        all.for_each(|(name, value)| headers.push(name, value));
        let record = Record {
            offset: fetched.offset(),
            leader_epoch: fetched.leader_epoch(),
            timestamp: fetched.timestamp(),
            key: fetched.key().map(Box::from),
            value: fetched.value().map(Box::from),
            headers,
        };
        Self { stored: Stored::Detached(Box::new(record)), size: self.size }
    }

    /// Its offset in the partition it was read from.
    pub fn offset(&self) -> i64 {
        match &self.stored {
            Stored::Fetched(fetched) => fetched.offset(),
            Stored::Detached(record) => record.offset,
        }
    }

    /// The key, which may be empty. None is a null key.
    pub fn key(&self) -> Option<&[u8]> {
        match &self.stored {
            Stored::Fetched(fetched) => fetched.key(),
            Stored::Detached(record) => record.key.as_deref(),
        }
    }

    /// The value, which may be empty. None is a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        match &self.stored {
            Stored::Fetched(fetched) => fetched.value(),
            Stored::Detached(record) => record.value.as_deref(),
        }
    }

    /// The memory that it takes, in bytes: key, value and headers.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The part of its memory that is not key or value.
    pub fn headers_size(&self) -> usize {
        self.size - self.key().map_or(0, <[u8]>::len) - self.value().map_or(0, <[u8]>::len)
    }

    /// The timestamp in milliseconds since the Unix epoch; None if the record has none.
    pub fn timestamp(&self) -> Option<(i64, TimestampType)> {
        match &self.stored {
            Stored::Fetched(fetched) => fetched.timestamp(),
            Stored::Detached(record) => record.timestamp,
        }
    }

    /// The epoch of the leader that appended it (KIP-320); None if the broker does not tell.
    pub fn leader_epoch(&self) -> Option<i32> {
        match &self.stored {
            Stored::Fetched(fetched) => fetched.leader_epoch(),
            Stored::Detached(record) => record.leader_epoch,
        }
    }

    /// The headers, in the record's order.
    pub fn headers(&self) -> Headers<'_> {
        match &self.stored {
            Stored::Fetched(fetched) => fetched.headers(),
            Stored::Detached(record) => record.headers.iter(),
        }
    }
}

impl Fetched {
    /// Takes ownership of a message that `queue` returned.
    pub(crate) fn new(ptr: NonNull<sys::rd_kafka_message_t>, queue: Arc<Queue>) -> Self {
        Self { ptr, _queue: queue }
    }

    pub(crate) fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: valid until `drop`.
        unsafe { self.ptr.as_ref() }
    }

    pub(crate) fn offset(&self) -> i64 {
        self.raw().offset
    }

    fn key(&self) -> Option<&[u8]> {
        // SAFETY: librdkafka keeps the key as long as the message.
        unsafe { bytes(self.raw().key, self.raw().key_len) }
    }

    fn value(&self) -> Option<&[u8]> {
        // SAFETY: librdkafka keeps the payload as long as the message.
        unsafe { bytes(self.raw().payload, self.raw().len) }
    }

    fn timestamp(&self) -> Option<(i64, TimestampType)> {
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

    fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: the message is alive.
        let epoch = unsafe { sys::rd_kafka_message_leader_epoch(self.ptr.as_ptr()) };
        (epoch >= 0).then_some(epoch)
    }

    fn headers(&self) -> Headers<'_> {
        // SAFETY: the message is ours, and borrowed for as long as its headers.
        unsafe { headers::headers_of(self.ptr.as_ptr()) }
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        // SAFETY: owned, destroyed once; the queue, and with it the consumer, is still alive.
        unsafe { sys::rd_kafka_message_destroy(self.ptr.as_ptr()) }
    }
}
