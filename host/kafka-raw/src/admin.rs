//! Requests about topics and their logs, sent by a consumer's own client.

mod committed;
mod rights;

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
use std::fmt;
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_admin_op_t as op;
use rdkafka_sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR as NO_ERROR;

pub use self::committed::CommittedTopics;
pub use self::rights::{Rights, rights_on_groups, rights_on_topics};

/// The id of a topic, which a topic of the same name that is created later does not have (KIP-516).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TopicId(pub u128);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A topic as its cluster describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// None if the brokers are older than Kafka 2.8.
    pub id: Option<TopicId>,
    /// The number of partitions.
    pub partitions: usize,
    /// Those that have a leader.
    pub led: Vec<i32>,
}

/// An end of a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogEnd {
    /// The offset of the first record that is still there.
    First,
    /// The offset after the last record.
    Last,
    /// The offset after the last record that no transaction withholds.
    Stable,
}

/// Offsets by topic and partition.
pub type Offsets = HashMap<(String, i32), i64>;

/// The timeout of a request whose answer nobody waits for.
const WAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A request that was sent. The client must outlive it.
struct Request {
    queue: NonNull<sys::rd_kafka_queue_t>,
}

// SAFETY: librdkafka's queues are thread-safe.
unsafe impl Send for Request {}

/// An answer, freed when it is dropped.
struct Answer(NonNull<sys::rd_kafka_event_t>);

/// A request for the description of topics. Must not outlive its consumer.
pub struct DescribeTopics(Request);

impl DescribeTopics {
    /// Sends the request to this broker. Every broker answers it, but librdkafka's own choice, the controller, does not
    /// exist in its embedded cluster.
    pub fn send<C: ConsumerContext>(
        consumer: &BaseConsumer<C>,
        broker: i32,
        topics: &[&str],
        timeout: Duration,
    ) -> Self {
        let names: Vec<CString> = topics.iter().filter_map(|topic| CString::new(*topic).ok()).collect();
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let client = consumer.client().native_ptr();
        let request = Request::new(client);
        // SAFETY: the names live for the call, which copies them; the collection is ours and freed once.
        unsafe {
            let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            let options = options(client, op::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout);
            sys::rd_kafka_AdminOptions_set_broker(options, broker, ptr::null_mut(), 0);
            sys::rd_kafka_DescribeTopics(client, topics, options, request.queue.as_ptr());
            sys::rd_kafka_AdminOptions_destroy(options);
            sys::rd_kafka_TopicCollection_destroy(topics);
        }
        Self(request)
    }

    /// The answer, if it arrives within `wait`: for each topic its description, or the reason why there is none.
    ///
    /// # Errors
    /// No broker has answered.
    pub fn answer(&self, wait: Duration) -> Option<Result<Descriptions, RDKafkaErrorCode>> {
        let answer = match self.0.answer(wait)? {
            Ok(answer) => answer,
            Err(code) => return Some(Err(code)),
        };
        // SAFETY: the event is of this type, and everything in it lives as long as `answer`.
        let descriptions = unsafe {
            let result = sys::rd_kafka_event_DescribeTopics_result(answer.0.as_ptr());
            let mut count = 0;
            let all = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            elements(all, count).iter().map(|topic| description(*topic)).collect()
        };
        Some(Ok(descriptions))
    }
}

/// The descriptions of topics, by name.
pub type Descriptions = HashMap<String, Result<Topic, RDKafkaErrorCode>>;

/// # Safety
/// `topic` is a live description.
unsafe fn description(
    topic: *const sys::rd_kafka_TopicDescription_t,
) -> (String, Result<Topic, RDKafkaErrorCode>) {
    // SAFETY: the caller's promise; name, error and id belong to the description.
    unsafe {
        let name = CStr::from_ptr(sys::rd_kafka_TopicDescription_name(topic)).to_string_lossy().into_owned();
        let error = sys::rd_kafka_TopicDescription_error(topic);
        let code = if error.is_null() { NO_ERROR } else { sys::rd_kafka_error_code(error) };
        if code != NO_ERROR {
            return (name, Err(code.into()));
        }
        let mut partitions = 0;
        let all = sys::rd_kafka_TopicDescription_partitions(topic, &mut partitions);
        let led = elements(all, partitions).iter().copied();
        let led = led.filter(|found| !sys::rd_kafka_TopicPartitionInfo_leader(*found).is_null());
        let led = led.map(|found| sys::rd_kafka_TopicPartitionInfo_partition(found)).collect();
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let id = (!id.is_null()).then(|| {
            let high = sys::rd_kafka_Uuid_most_significant_bits(id).cast_unsigned();
            let low = sys::rd_kafka_Uuid_least_significant_bits(id).cast_unsigned();
            TopicId((u128::from(high) << 64) | u128::from(low))
        });
        // Brokers without topic ids leave it zero.
        (name, Ok(Topic { id: id.filter(|id| id.0 != 0), partitions, led }))
    }
}

/// The offsets at one end of the logs of these partitions. Those without a leader are left out.
///
/// # Errors
/// No broker answers within `timeout`, which passes if a partition has no leader.
pub fn list_offsets<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[(&str, i32)],
    end: LogEnd,
    timeout: Duration,
) -> Result<Offsets, RDKafkaErrorCode> {
    if partitions.is_empty() {
        return Ok(HashMap::new());
    }
    let request = ListOffsets::send(consumer, partitions, end, timeout);
    request.answer(timeout).unwrap_or(Err(RDKafkaErrorCode::OperationTimedOut))
}

/// A request for the offsets at one end of logs. Must not outlive its consumer.
pub struct ListOffsets(Request);

impl ListOffsets {
    /// Sends the request.
    pub fn send<C: ConsumerContext>(
        consumer: &BaseConsumer<C>,
        partitions: &[(&str, i32)],
        end: LogEnd,
        timeout: Duration,
    ) -> Self {
        Self(send_list_offsets(consumer, partitions, end, timeout))
    }

    /// The answer, if it arrives within `wait`; see [`list_offsets`].
    ///
    /// # Errors
    /// No broker has answered.
    pub fn answer(&self, wait: Duration) -> Option<Result<Offsets, RDKafkaErrorCode>> {
        let answer = match self.0.answer(wait)? {
            Ok(answer) => answer,
            Err(code) => return Some(Err(code)),
        };
        // SAFETY: the event is of this type, and everything in it lives as long as `answer`.
        unsafe {
            let result = sys::rd_kafka_event_ListOffsets_result(answer.0.as_ptr());
            let mut count = 0;
            let all = sys::rd_kafka_ListOffsets_result_infos(result, &mut count);
            Some(Ok(elements(all, count).iter().filter_map(|info| listed_offset(*info)).collect()))
        }
    }
}

/// Has the client look at once for something to fetch from the leader of a partition. After the end of a pause, the
/// thread of that broker would sleep on for up to a second (`rd_kafka_max_block_ms`), unless it has a request to send.
pub fn wake_fetch<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str, partition: i32) {
    drop(send_list_offsets(consumer, &[(topic, partition)], LogEnd::Last, WAKE_TIMEOUT));
}

fn send_list_offsets<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[(&str, i32)],
    end: LogEnd,
    timeout: Duration,
) -> Request {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition(topic, *partition);
    }
    let spec = match end {
        LogEnd::First => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST,
        LogEnd::Last | LogEnd::Stable => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST,
    };
    let client = consumer.client().native_ptr();
    let request = Request::new(client);
    // SAFETY: the list is ours and lives for the call, which copies it; its elements are set before.
    unsafe {
        let raw = &*list.ptr();
        for element in slice::from_raw_parts_mut(raw.elems, usize::try_from(raw.cnt).unwrap_or(0)) {
            element.offset = spec as i64;
        }
        let options = options(client, op::RD_KAFKA_ADMIN_OP_LISTOFFSETS, timeout);
        if end == LogEnd::Stable {
            let committed = sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED;
            sys::rd_kafka_error_destroy(sys::rd_kafka_AdminOptions_set_isolation_level(options, committed));
        }
        sys::rd_kafka_ListOffsets(client, list.ptr(), options, request.queue.as_ptr());
        sys::rd_kafka_AdminOptions_destroy(options);
    }
    request
}

/// # Safety
/// `info` is a live element of a result.
unsafe fn listed_offset(info: *const sys::rd_kafka_ListOffsetsResultInfo_t) -> Option<((String, i32), i64)> {
    // SAFETY: the caller's promise; partition and name belong to the element.
    unsafe {
        let found = &*sys::rd_kafka_ListOffsetsResultInfo_topic_partition(info);
        if found.err != NO_ERROR {
            return None;
        }
        let topic = CStr::from_ptr(found.topic).to_string_lossy().into_owned();
        Some(((topic, found.partition), found.offset))
    }
}

impl Request {
    fn new(client: *mut sys::rd_kafka_t) -> Self {
        // SAFETY: the client is alive; librdkafka aborts rather than return null when memory is exhausted.
        Self { queue: unsafe { NonNull::new_unchecked(sys::rd_kafka_queue_new(client)) } }
    }

    fn answer(&self, wait: Duration) -> Option<Result<Answer, RDKafkaErrorCode>> {
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is ours; an event that it returns is ours too, and `Answer` destroys it.
        let answer =
            unsafe { NonNull::new(sys::rd_kafka_queue_poll(self.queue.as_ptr(), wait)).map(Answer) }?;
        // SAFETY: the event is alive.
        match unsafe { sys::rd_kafka_event_error(answer.0.as_ptr()) } {
            NO_ERROR => Some(Ok(answer)),
            code => Some(Err(code.into())),
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // SAFETY: owned, released once; librdkafka drops an answer that arrives later.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: owned, destroyed once.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

/// # Safety
/// `client` is alive. The result must be destroyed.
unsafe fn options(
    client: *mut sys::rd_kafka_t,
    op: op,
    timeout: Duration,
) -> *mut sys::rd_kafka_AdminOptions_t {
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the caller's promise; without a buffer no error text is written.
    unsafe {
        let options = sys::rd_kafka_AdminOptions_new(client, op);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, millis, ptr::null_mut(), 0);
        options
    }
}

/// # Safety
/// `all` is null or points to `count` elements that live for 'a.
unsafe fn elements<'a, T>(all: *mut *const T, count: usize) -> &'a [*const T] {
    if all.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(all, count) }
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::DefaultConsumerContext;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

    use super::*;

    const BOUND: Duration = Duration::from_secs(20);

    #[test]
    fn topics_and_logs_are_described() {
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic("one", 3, 1).expect("a topic");
        cluster.create_topic("other", 1, 1).expect("a topic");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "g");
        let consumer: BaseConsumer<DefaultConsumerContext> = config.create().expect("a consumer");
        let producer: BaseProducer = config.create().expect("a producer");
        for _ in 0..2 {
            producer.send(BaseRecord::<(), str>::to("one").payload("x").partition(1)).expect("queued");
        }
        producer.flush(BOUND).expect("published");
        let broker = consumer.fetch_metadata(None, BOUND).expect("metadata").brokers()[0].id();
        let request = DescribeTopics::send(&consumer, broker, &["one", "other", "none"], BOUND);
        let found = request.answer(BOUND).expect("in time").expect("an answer");
        let described = |name: &str| found[name].as_ref().expect("a topic");
        let (one, other) = (described("one"), described("other"));
        assert_eq!((one.partitions, other.partitions), (3, 1));
        assert!(one.id.is_some() && one.id != other.id, "{one:?} {other:?}");
        assert!(found["none"].is_err(), "{found:?}");
        let partitions = [("one", 0), ("one", 1), ("other", 0)];
        let first = list_offsets(&consumer, &partitions, LogEnd::First, BOUND).expect("offsets");
        let last = list_offsets(&consumer, &partitions, LogEnd::Last, BOUND).expect("offsets");
        let of = |all: &HashMap<(String, i32), i64>| partitions.map(|(topic, p)| all[&(topic.to_owned(), p)]);
        assert_eq!((of(&first), of(&last)), ([0, 0, 0], [0, 2, 0]));
    }
}
