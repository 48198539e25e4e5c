//! The one module that calls librdkafka directly.
//!
//! The safe crate cannot be used for four things the message path needs:
//! - header names as bytes: its accessors panic on a name that is not UTF-8, and cut one at a NUL;
//! - messages from a partition's own queue that may outlive the call that read them, uncopied;
//! - publishing header lists that hold such names;
//! - commits that report their outcome: its asynchronous ones never do.
//!
//! Everything unsafe stays behind the types here, each of which keeps alive what it points to.
#![allow(unsafe_code)]

mod headers;

use std::any::Any;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};
use rdkafka::{IntoOpaque, TopicPartitionList};
use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_vtype_t as vtype;

pub use self::headers::{HeaderList, Headers, headers};

/// `RD_KAFKA_PARTITION_UA`: the partitioner decides.
const PARTITION_UA: i32 = -1;

/// Called when a queue turns from empty to nonempty, on one of librdkafka's threads and under the
/// queue's lock: it must be quick and must not call librdkafka.
type OnReady = Box<dyn Fn() + Send + Sync>;

/// The messages of one assigned partition.
pub struct Queue {
    ptr: NonNull<sys::rd_kafka_queue_t>,
    slot: &'static Slot,
    /// Which of the slot's callbacks is this queue's.
    turn: u64,
    /// The consumer must outlive its queues.
    _consumer: Arc<dyn Any + Send + Sync>,
}

/// Whom a partition wakes. A partition that was given back and comes again has the same queue in
/// librdkafka, while messages of the first time may still hold it: so its callback is never switched
/// off, but taken out of the slot by its owner. One for each partition that a client ever had.
#[derive(Default)]
struct Slot {
    on_ready: Mutex<(u64, Option<OnReady>)>,
}

impl Slot {
    fn of(client: *mut sys::rd_kafka_t, topic: &str, partition: i32) -> &'static Self {
        type Slots = HashMap<(usize, String, i32), &'static Slot>;
        static SLOTS: OnceLock<Mutex<Slots>> = OnceLock::new();
        let key = (client.addr(), topic.to_owned(), partition);
        SLOTS.get_or_init(Mutex::default).lock().entry(key).or_insert_with(|| Box::leak(Box::default()))
    }

    fn set(&self, on_ready: OnReady) -> u64 {
        let mut slot = self.on_ready.lock();
        *slot = (slot.0 + 1, Some(on_ready));
        slot.0
    }

    fn clear(&self, turn: u64) {
        let mut slot = self.on_ready.lock();
        if slot.0 == turn {
            slot.1 = None;
        }
    }
}

// SAFETY: librdkafka's queues are thread-safe, and the slot is Sync.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// Takes the partition's messages out of the consumer's common queue. Call it before the
    /// partition is assigned, else messages may still arrive there.
    ///
    /// None where librdkafka does not know the partition.
    pub fn of_partition<C: ConsumerContext + 'static>(
        consumer: Arc<BaseConsumer<C>>,
        topic: &str,
        partition: i32,
        on_ready: OnReady,
    ) -> Option<Arc<Self>> {
        let name = CString::new(topic).ok()?;
        let client = consumer.client().native_ptr();
        // SAFETY: the client lives as long as `consumer`, the name for the call.
        let queue = unsafe { sys::rd_kafka_queue_get_partition(client, name.as_ptr(), partition) };
        let ptr = NonNull::new(queue)?;
        let slot = Slot::of(client, topic, partition);
        let turn = slot.set(on_ready);
        // SAFETY: the queue is ours; the slot lives for good.
        unsafe {
            sys::rd_kafka_queue_forward(ptr.as_ptr(), ptr::null_mut());
            let slot = ptr::from_ref(slot).cast_mut().cast();
            sys::rd_kafka_queue_cb_event_enable(ptr.as_ptr(), Some(call_on_ready), slot);
        }
        Some(Arc::new(Self { ptr, slot, turn, _consumer: consumer }))
    }

    /// Moves up to `max` events that are here already into `into`, without waiting. Returns how
    /// many librdkafka gave, so that fewer than `max` means that the queue was empty. Errors that
    /// librdkafka reports in place of messages go to `on_error`.
    ///
    /// One at a time: `rd_kafka_consume_batch_queue` takes an error or the end of the partition for
    /// a message and moves the client's position past one that was not read. Every cooperative
    /// rebalance pauses the partitions that stay and goes on from that position: a message is lost.
    pub fn read(
        self: &Arc<Self>,
        max: usize,
        into: &mut Vec<Event>,
        mut on_error: impl FnMut(KafkaError),
    ) -> usize {
        for count in 0..max {
            // SAFETY: the queue is alive; a message that it gives is ours, and `Message` destroys it.
            let pointer = unsafe { sys::rd_kafka_consume_queue(self.ptr.as_ptr(), 0) };
            let Some(ptr) = NonNull::new(pointer) else { return count };
            let message = Message { ptr, _queue: Arc::clone(self) };
            match message.raw().err {
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => into.push(Event::Message(message)),
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                    into.push(Event::End(message.offset()));
                }
                code => on_error(KafkaError::MessageConsumption(code.into())),
            }
        }
        max
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.slot.clear(self.turn);
        // SAFETY: our reference to the queue, given back once.
        unsafe { sys::rd_kafka_queue_destroy(self.ptr.as_ptr()) }
    }
}

unsafe extern "C" fn call_on_ready(_: *mut sys::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is a slot, which lives for good.
    let slot = unsafe { &*opaque.cast::<Slot>() };
    if let Some(on_ready) = &slot.on_ready.lock().1 {
        on_ready();
    }
}

/// What a partition's queue holds, in the partition's order.
pub enum Event {
    /// A record.
    Message(Message),
    /// The partition's end was reached, which is this offset. Only with `enable.partition.eof`.
    End(i64),
}

/// A consumed message, in librdkafka's memory.
pub struct Message {
    ptr: NonNull<sys::rd_kafka_message_t>,
    _queue: Arc<Queue>,
}

// SAFETY: a message is owned by whoever holds it. It is not Sync: headers are parsed on first use.
unsafe impl Send for Message {}

/// What a record's timestamp stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// Set by the sender.
    CreateTime,
    /// Set by the broker.
    LogAppendTime,
}

impl Message {
    /// Its offset in the partition it was read from.
    pub fn offset(&self) -> i64 {
        self.raw().offset
    }

    /// None is a null key; it may be empty.
    pub fn key(&self) -> Option<&[u8]> {
        // SAFETY: librdkafka keeps the key as long as the message.
        unsafe { bytes(self.raw().key, self.raw().key_len) }
    }

    /// None is a tombstone; it may be empty.
    pub fn value(&self) -> Option<&[u8]> {
        // SAFETY: librdkafka keeps the payload as long as the message.
        unsafe { bytes(self.raw().payload, self.raw().len) }
    }

    /// Bytes of key and value.
    pub fn size(&self) -> usize {
        self.value().map_or(0, <[u8]>::len) + self.key().map_or(0, <[u8]>::len)
    }

    /// Milliseconds since the Unix epoch, where the record carries a timestamp.
    pub fn timestamp(&self) -> Option<(i64, TimestampType)> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: both pointers are valid for the call.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.ptr.as_ptr(), &mut kind) };
        match kind {
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

    fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: valid until `drop`.
        unsafe { self.ptr.as_ref() }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: owned, destroyed once; the queue and so the consumer are still alive.
        unsafe { sys::rd_kafka_message_destroy(self.ptr.as_ptr()) }
    }
}

/// A record to publish. `partition` None leaves the choice to the partitioner.
pub struct Record<'a> {
    /// The topic to publish to.
    pub topic: &'a CStr,
    /// The partition to publish to.
    pub partition: Option<i32>,
    /// Null or bytes.
    pub key: Option<&'a [u8]>,
    /// Null or bytes.
    pub value: Option<&'a [u8]>,
    /// Taken over as they are.
    pub headers: HeaderList,
}

/// Hands a record to the producer, which reports its fate through its context with `opaque`.
///
/// # Errors
/// What librdkafka refuses at once: a full queue, a record too large, an unknown partition. Then
/// `opaque` is dropped and the context hears nothing.
pub fn produce<C>(
    producer: &ThreadedProducer<C>,
    record: Record<'_>,
    opaque: C::DeliveryOpaque,
) -> Result<(), RDKafkaErrorCode>
where
    C: ProducerContext + 'static,
{
    let (key, key_len) = parts(record.key);
    let (value, value_len) = parts(record.value);
    let opaque = opaque.into_ptr();
    // SAFETY: the arguments follow the vtypes that librdkafka documents for each tag; key and
    // value are copied; the opaque is what this producer's context expects.
    let code = unsafe {
        sys::rd_kafka_producev(
            producer.client().native_ptr(),
            vtype::RD_KAFKA_VTYPE_TOPIC,
            record.topic.as_ptr(),
            vtype::RD_KAFKA_VTYPE_PARTITION,
            record.partition.unwrap_or(PARTITION_UA),
            vtype::RD_KAFKA_VTYPE_MSGFLAGS,
            sys::RD_KAFKA_MSG_F_COPY,
            vtype::RD_KAFKA_VTYPE_VALUE,
            value,
            value_len,
            vtype::RD_KAFKA_VTYPE_KEY,
            key,
            key_len,
            vtype::RD_KAFKA_VTYPE_OPAQUE,
            opaque,
            vtype::RD_KAFKA_VTYPE_HEADERS,
            record.headers.as_ptr(),
            vtype::RD_KAFKA_VTYPE_END,
        )
    };
    if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        // The producer owns the headers now.
        std::mem::forget(record.headers);
        return Ok(());
    }
    // SAFETY: made by `into_ptr` above, and not taken over by the producer.
    drop(unsafe { C::DeliveryOpaque::from_ptr(opaque) });
    Err(code.into())
}

/// Gives a client that reaches nobody its first brokers back; harmless where it does reach them.
///
/// librdkafka drops the brokers that a metadata answer does not list
/// (`rd_kafka_metadata_decommission_unavailable_brokers`). A single broker that comes back from a
/// pause lists none for a moment: the client then has nobody left to ask, and stays silent for good.
pub fn bootstrap_again<C: ClientContext>(client: &Client<C>, servers: &str) {
    if let Ok(servers) = CString::new(servers) {
        // SAFETY: client and text live for the call, which copies what it needs.
        unsafe { sys::rd_kafka_brokers_add(client.native_ptr(), servers.as_ptr()) };
    }
}

/// Whether a consumer is a member of its group still: its LeaveGroup has not been sent.
pub fn is_member<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> bool {
    let client = consumer.client().native_ptr();
    // SAFETY: the client lives for the call; the text is a C string, or null, and ours to free.
    unsafe {
        let id = sys::rd_kafka_memberid(client);
        let is_member = !id.is_null() && *id != 0;
        sys::rd_kafka_mem_free(client, id.cast());
        is_member
    }
}

/// The end of a partition as the last fetch has told it, without asking anybody.
pub fn known_end<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str, partition: i32) -> Option<i64> {
    let name = CString::new(topic).ok()?;
    let (mut low, mut high) = (0, -1);
    // SAFETY: client, name and both numbers live for the call.
    let code = unsafe {
        let client = consumer.client().native_ptr();
        sys::rd_kafka_get_watermark_offsets(client, name.as_ptr(), partition, &raw mut low, &raw mut high)
    };
    (code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}

/// Hands offsets to the group's coordinator. Unless this fails at once, the outcome comes to the
/// context's `commit_callback` out of a later poll, with an error for each partition.
///
/// # Errors
/// What librdkafka refuses at once.
pub fn commit<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    offsets: &TopicPartitionList,
) -> Result<(), RDKafkaErrorCode> {
    let client = consumer.client().native_ptr();
    // SAFETY: client and list live for the call, which copies the list; the reply holds a
    // reference to the queue of its own. Null is no callback: the reply becomes an event.
    let code = unsafe {
        let queue = sys::rd_kafka_queue_get_consumer(client);
        let code = sys::rd_kafka_commit_queue(client, offsets.ptr(), queue, None, ptr::null_mut());
        if !queue.is_null() {
            sys::rd_kafka_queue_destroy(queue);
        }
        code
    };
    match code {
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(code.into()),
    }
}

/// What was committed beside an offset. The safe crate's accessor panics on what is not UTF-8, and
/// anybody may have written it.
pub fn metadata(offsets: &TopicPartitionList, topic: &str, partition: i32) -> Option<Vec<u8>> {
    let name = CString::new(topic).ok()?;
    // SAFETY: list and name live for the call; the element belongs to the list, and its bytes are
    // copied before anything else can touch it.
    unsafe {
        let element = sys::rd_kafka_topic_partition_list_find(offsets.ptr(), name.as_ptr(), partition);
        let element = element.as_ref()?;
        bytes(element.metadata, element.metadata_size).map(<[u8]>::to_vec)
    }
}

/// A slice as librdkafka takes it: null pointer for None, never null for an empty one.
fn parts(bytes: Option<&[u8]>) -> (*const c_void, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr().cast(), bytes.len()))
}

/// # Safety
/// `data` is null or points to `len` bytes that live for 'a.
unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!data.is_null()).then(|| unsafe { slice::from_raw_parts(data.cast::<u8>(), len) })
}

#[cfg(test)]
#[path = "raw/tests.rs"]
mod tests;
