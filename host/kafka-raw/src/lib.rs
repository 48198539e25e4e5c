//! The only crate that calls librdkafka directly, and so, apart from test tools, the only one with unsafe code of this project's
//! own.
//!
//! The message path needs functions that the safe `rdkafka` crate does not offer:
//! - header names as bytes: its accessors panic if a name is not UTF-8, and truncate one at a NUL;
//! - messages from a partition's own queue that outlive the call that read them, without a copy;
//! - publishing header lists with such names;
//! - commits that report their result: its asynchronous commits never do;
//! - a few functions of librdkafka without a safe counterpart.
//!
//! The types here own or keep alive everything they point to.
#![allow(unsafe_code)]

pub mod admin;
mod headers;
mod message;
mod producer;
mod queue;

use std::ffi::{CStr, CString, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::{IntoOpaque, TopicPartitionList};
use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_vtype_t as vtype;

pub use self::admin::TopicId;
pub use self::headers::{HeaderList, Headers, headers};
pub use self::message::{Message, TimestampType};
pub use self::producer::PolledProducer;
pub use self::queue::{Event, OnReady, Queue};

/// `RD_KAFKA_PARTITION_UA`: the partitioner decides.
const PARTITION_UA: i32 = -1;

/// A record to publish.
pub struct Record<'a> {
    /// The topic to publish to.
    pub topic: &'a CStr,
    /// The partition to publish to; None leaves the choice to the partitioner.
    pub partition: Option<i32>,
    /// None is a null key.
    pub key: Option<&'a [u8]>,
    /// None is a null value.
    pub value: Option<&'a [u8]>,
    /// Milliseconds since the Unix epoch; None is the time of this machine's clock, and so is 0.
    pub timestamp_ms: Option<i64>,
    /// The headers.
    pub headers: HeaderList,
}

/// Enqueues a record. The producer reports the result to its context, together with `opaque`.
///
/// # Errors
/// librdkafka refuses the record at once: a full queue, a record that is too large, an unknown partition. In
/// that case `opaque` is dropped and the context is not called.
pub fn produce<C>(
    producer: &BaseProducer<C>,
    record: Record<'_>,
    opaque: C::DeliveryOpaque,
) -> Result<(), RDKafkaErrorCode>
where
    C: ProducerContext + 'static,
{
    let (key, key_len) = parts(record.key);
    let (value, value_len) = parts(record.value);
    let opaque = opaque.into_ptr();
    // SAFETY: the arguments have the types that librdkafka documents for each tag; key and value are copied;
    // the opaque has the type that this producer's context expects.
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
            vtype::RD_KAFKA_VTYPE_TIMESTAMP,
            record.timestamp_ms.unwrap_or(0),
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
    // SAFETY: made by `into_ptr` above, and not owned by the producer.
    drop(unsafe { C::DeliveryOpaque::from_ptr(opaque) });
    Err(code.into())
}

/// Adds the bootstrap brokers to a client again, which restores one that has lost all its brokers. Harmless
/// for a connected client.
///
/// librdkafka removes the brokers that a metadata response does not list
/// (`rd_kafka_metadata_decommission_unavailable_brokers`). A single broker that resumes after a pause lists
/// none for a moment. The client then has no broker left to query and never recovers by itself.
pub fn bootstrap_again<C: ClientContext>(client: &Client<C>, servers: &str) {
    if let Ok(servers) = CString::new(servers) {
        // SAFETY: client and text live for the call, which copies what it needs.
        unsafe { sys::rd_kafka_brokers_add(client.native_ptr(), servers.as_ptr()) };
    }
}

/// The broker that controls the cluster. None if there is none, or no broker answers within `timeout`.
pub fn controller<C: ClientContext>(client: &Client<C>, timeout: Duration) -> Option<i32> {
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client lives for the call.
    let id = unsafe { sys::rd_kafka_controllerid(client.native_ptr(), millis) };
    (id >= 0).then_some(id)
}

/// Whether the broker may have written a record although its delivery report has an error.
pub fn may_be_persisted(message: &BorrowedMessage<'_>) -> bool {
    // SAFETY: the report owns the message that the pointer names for as long as `message` lives, and the call
    // reads one field of it.
    let status = unsafe { sys::rd_kafka_message_status(message.ptr()) };
    status != sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
}

/// Sets `group.initial.rebalance.delay.ms` of the embedded broker that belongs to this client
/// (`test.mock.num.brokers`), at least 1 ms; the default is 3 s. Has no effect without an embedded broker.
pub fn set_initial_rebalance_delay<C: ClientContext>(client: &Client<C>, delay: Duration) {
    // 0 would disable the timer that ends the delay.
    let millis = i32::try_from(delay.as_millis()).unwrap_or(i32::MAX).max(1);
    // SAFETY: the cluster belongs to the client, which lives for the calls.
    unsafe {
        let cluster = sys::rd_kafka_handle_mock_cluster(client.native_ptr());
        if !cluster.is_null() {
            sys::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, millis);
        }
    }
}

/// The id by which Kafka knows a consumer in its group. None if it is no member: it has not joined yet, or its
/// LeaveGroup request has been sent.
pub fn member_id<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<String> {
    let client = consumer.client().native_ptr();
    // SAFETY: the client lives for the call; the text is a C string, or null, and ours to free.
    unsafe {
        let id = sys::rd_kafka_memberid(client);
        let text = (!id.is_null()).then(|| CStr::from_ptr(id).to_string_lossy().into_owned());
        sys::rd_kafka_mem_free(client, id.cast());
        text.filter(|text| !text.is_empty())
    }
}

/// The high watermark of a partition as of the last fetch, without a request. None before the first fetch.
pub fn known_end<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str, partition: i32) -> Option<i64> {
    let name = CString::new(topic).ok()?;
    // SAFETY: the client lives for the call.
    let (_, high) = unsafe { known_bounds(consumer.client().native_ptr(), &name, partition) };
    high
}

/// The first offset and the high watermark of a partition as of the last fetch.
///
/// # Safety
/// `client` is alive.
unsafe fn known_bounds(
    client: *mut sys::rd_kafka_t,
    topic: &CStr,
    partition: i32,
) -> (Option<i64>, Option<i64>) {
    let (mut low, mut high) = (-1, -1);
    // SAFETY: client, name and both numbers live for the call.
    let code = unsafe {
        sys::rd_kafka_get_watermark_offsets(client, topic.as_ptr(), partition, &raw mut low, &raw mut high)
    };
    let known = |offset: i64| {
        (code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && offset >= 0).then_some(offset)
    };
    (known(low), known(high))
}

/// The leader epoch that was committed with an offset (KIP-320).
pub fn leader_epoch(offsets: &TopicPartitionList, topic: &str, partition: i32) -> Option<i32> {
    let element = find(offsets, topic, partition)?;
    // SAFETY: the element belongs to the list, which lives for the call.
    let epoch = unsafe { sys::rd_kafka_topic_partition_get_leader_epoch(element.as_ptr()) };
    (epoch >= 0).then_some(epoch)
}

/// Sets the leader epoch of an offset: in a commit, or where reading begins, so that the client notices whether the
/// log was truncated below it (KIP-320).
pub fn set_leader_epoch(offsets: &mut TopicPartitionList, topic: &str, partition: i32, epoch: i32) {
    if let Some(element) = find(offsets, topic, partition) {
        // SAFETY: the element belongs to the list, which lives for the call.
        unsafe { sys::rd_kafka_topic_partition_set_leader_epoch(element.as_ptr(), epoch) }
    }
}

/// Sets where the reading of a partition begins, in the list of a rebalance that is being carried out.
pub fn set_start(
    assigned: &TopicPartitionList,
    topic: &str,
    partition: i32,
    offset: i64,
    epoch: Option<i32>,
) {
    if let Some(mut element) = find(assigned, topic, partition) {
        // SAFETY: the element belongs to the list. The safe crate shares the list of a rebalance, but no reference
        // into its elements exists outside of its methods.
        unsafe {
            element.as_mut().offset = offset;
            sys::rd_kafka_topic_partition_set_leader_epoch(element.as_ptr(), epoch.unwrap_or(-1));
        }
    }
}

fn find(
    list: &TopicPartitionList,
    topic: &str,
    partition: i32,
) -> Option<NonNull<sys::rd_kafka_topic_partition_t>> {
    let name = CString::new(topic).ok()?;
    // SAFETY: list and name live for the call.
    NonNull::new(unsafe { sys::rd_kafka_topic_partition_list_find(list.ptr(), name.as_ptr(), partition) })
}

/// Sends offsets to the group coordinator. Unless this fails at once, a later poll passes the result, with an
/// error per partition, to the context's `commit_callback`.
///
/// # Errors
/// librdkafka refuses the commit at once.
pub fn commit<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    offsets: &TopicPartitionList,
) -> Result<(), RDKafkaErrorCode> {
    let client = consumer.client().native_ptr();
    // SAFETY: client and list live for the call, which copies the list; the reply holds its own reference to
    // the queue. Null means no callback: the reply becomes an event.
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

/// The metadata that was committed with an offset. It is untrusted, and the safe crate's accessor panics if
/// it is not UTF-8.
pub fn metadata(offsets: &TopicPartitionList, topic: &str, partition: i32) -> Option<Vec<u8>> {
    let element = find(offsets, topic, partition)?;
    // SAFETY: the element belongs to the list, and its bytes are copied before anything else can touch it.
    unsafe {
        let element = element.as_ref();
        bytes(element.metadata, element.metadata_size).map(<[u8]>::to_vec)
    }
}

/// A slice in the form that librdkafka expects: null pointer for None, never null for an empty one.
fn parts(bytes: Option<&[u8]>) -> (*const c_void, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr().cast(), bytes.len()))
}

/// # Safety
/// `data` is null or points to `len` bytes that live for 'a.
unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!data.is_null()).then(|| unsafe { slice::from_raw_parts(data.cast::<u8>(), len) })
}
