//! What a client may do with topics and groups, as the brokers say (KIP-430).

use super::*;

/// The operations that are granted on a topic or a group. Nothing is granted on one that the client may not see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rights {
    /// READ: fetching records; for a group, joining it and committing.
    pub read: bool,
    /// WRITE: publishing records.
    pub write: bool,
}

/// The rights on these topics. Those that do not exist, or whose rights are unknown, are left out.
///
/// # Errors
/// No broker answers within `timeout`.
pub fn rights_on_topics<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topics: &[&str],
    timeout: Duration,
) -> Result<HashMap<String, Rights>, RDKafkaErrorCode> {
    let names: Vec<CString> = topics.iter().filter_map(|topic| CString::new(*topic).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let client = consumer.client().native_ptr();
    let request = Request::new(client);
    // SAFETY: the names live for the call, which copies them; collection and options are ours and freed once.
    unsafe {
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let options = with_rights(client, op::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout);
        sys::rd_kafka_DescribeTopics(client, topics, options, request.queue.as_ptr());
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_TopicCollection_destroy(topics);
    }
    let answer = request.answer(timeout).unwrap_or(Err(RDKafkaErrorCode::OperationTimedOut))?;
    // SAFETY: the event is of this type, and everything in it lives as long as `answer`.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(answer.0.as_ptr());
        let mut count = 0;
        let all = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let described = elements(all, count).iter().filter_map(|topic| {
            let mut count = 0;
            let name = sys::rd_kafka_TopicDescription_name(*topic);
            let operations = sys::rd_kafka_TopicDescription_authorized_operations(*topic, &mut count);
            rights(name, sys::rd_kafka_TopicDescription_error(*topic), operations, count)
        });
        Ok(described.collect())
    }
}

/// The rights on these groups. Those that do not exist, or whose rights are unknown, are left out.
///
/// # Errors
/// No broker answers within `timeout`.
pub fn rights_on_groups<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    groups: &[&str],
    timeout: Duration,
) -> Result<HashMap<String, Rights>, RDKafkaErrorCode> {
    let names: Vec<CString> = groups.iter().filter_map(|group| CString::new(*group).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let client = consumer.client().native_ptr();
    let request = Request::new(client);
    // SAFETY: the names live for the call, which copies them; the options are ours and freed once.
    unsafe {
        let options = with_rights(client, op::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, timeout);
        let queue = request.queue.as_ptr();
        sys::rd_kafka_DescribeConsumerGroups(client, pointers.as_mut_ptr(), pointers.len(), options, queue);
        sys::rd_kafka_AdminOptions_destroy(options);
    }
    let answer = request.answer(timeout).unwrap_or(Err(RDKafkaErrorCode::OperationTimedOut))?;
    // SAFETY: the event is of this type, and everything in it lives as long as `answer`.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(answer.0.as_ptr());
        let mut count = 0;
        let all = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
        let described = elements(all, count).iter().filter_map(|group| {
            let mut count = 0;
            let name = sys::rd_kafka_ConsumerGroupDescription_group_id(*group);
            let operations = sys::rd_kafka_ConsumerGroupDescription_authorized_operations(*group, &mut count);
            rights(name, sys::rd_kafka_ConsumerGroupDescription_error(*group), operations, count)
        });
        Ok(described.collect())
    }
}

/// # Safety
/// `client` is alive. The result must be destroyed.
unsafe fn with_rights(
    client: *mut sys::rd_kafka_t,
    op: op,
    timeout: Duration,
) -> *mut sys::rd_kafka_AdminOptions_t {
    // SAFETY: the caller's promise. An error, which must be freed, means that the operation has no such option.
    unsafe {
        let options = options(client, op, timeout);
        let error = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        if !error.is_null() {
            sys::rd_kafka_error_destroy(error);
        }
        options
    }
}

/// # Safety
/// `name` is a C string, `error` is null or alive, and `operations` is null or points to `count` of them.
unsafe fn rights(
    name: *const c_char,
    error: *const sys::rd_kafka_error_t,
    operations: *const sys::rd_kafka_AclOperation_t,
    count: usize,
) -> Option<(String, Rights)> {
    use RDKafkaErrorCode::{GroupAuthorizationFailed, TopicAuthorizationFailed};
    use sys::rd_kafka_AclOperation_t as operation;
    // SAFETY: the caller's promise.
    unsafe {
        let name = CStr::from_ptr(name).to_string_lossy().into_owned();
        let code = if error.is_null() { NO_ERROR } else { sys::rd_kafka_error_code(error) };
        if matches!(code.into(), GroupAuthorizationFailed | TopicAuthorizationFailed) {
            return Some((name, Rights::default()));
        }
        if code != NO_ERROR || operations.is_null() {
            return None;
        }
        let granted = slice::from_raw_parts(operations, count);
        let read = granted.contains(&operation::RD_KAFKA_ACL_OPERATION_READ);
        let write = granted.contains(&operation::RD_KAFKA_ACL_OPERATION_WRITE);
        Some((name, Rights { read, write }))
    }
}
