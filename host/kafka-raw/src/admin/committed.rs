//! The topics of which a consumer group has committed offsets, asked by the client of any other group.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::ptr;
use std::slice;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_admin_op_t as op;

use super::{NO_ERROR, Request, elements, options};

/// A request for the committed offsets of a group. Must not outlive its consumer.
pub struct CommittedTopics(Request);

impl CommittedTopics {
    /// Sends the request. None if the group's name contains a NUL, which no group's does.
    pub fn send<C: ConsumerContext>(
        consumer: &BaseConsumer<C>,
        group: &str,
        timeout: Duration,
    ) -> Option<Self> {
        let group = CString::new(group).ok()?;
        let client = consumer.client().native_ptr();
        let request = Request::new(client);
        // SAFETY: the name lives for the call, which copies it; no list of partitions means all; the request's
        // description is ours and freed once.
        unsafe {
            let mut asked = sys::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), ptr::null());
            let options = options(client, op::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, timeout);
            sys::rd_kafka_ListConsumerGroupOffsets(client, &mut asked, 1, options, request.queue.as_ptr());
            sys::rd_kafka_AdminOptions_destroy(options);
            sys::rd_kafka_ListConsumerGroupOffsets_destroy(asked);
        }
        Some(Self(request))
    }

    /// The topics, once the answer arrives.
    ///
    /// # Errors
    /// There is no answer within `wait`, or the group's coordinator refuses it.
    pub fn answer(&self, wait: Duration) -> Result<BTreeSet<String>, RDKafkaErrorCode> {
        let answer = self.0.answer(wait).unwrap_or(Err(RDKafkaErrorCode::OperationTimedOut))?;
        let mut topics = BTreeSet::new();
        // SAFETY: the event is of this type, and everything in it lives as long as `answer`.
        unsafe {
            let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(answer.0.as_ptr());
            let mut count = 0;
            let groups = sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &mut count);
            for group in elements(groups, count) {
                let error = sys::rd_kafka_group_result_error(*group);
                let code = if error.is_null() { NO_ERROR } else { sys::rd_kafka_error_code(error) };
                if code != NO_ERROR {
                    return Err(code.into());
                }
                let list = sys::rd_kafka_group_result_partitions(*group);
                if list.is_null() || (*list).elems.is_null() {
                    continue;
                }
                let found = slice::from_raw_parts((*list).elems, usize::try_from((*list).cnt).unwrap_or(0));
                let found = found.iter().filter(|it| it.offset >= 0 && it.err == NO_ERROR);
                topics.extend(found.map(|it| CStr::from_ptr(it.topic).to_string_lossy().into_owned()));
            }
        }
        Ok(topics)
    }
}
