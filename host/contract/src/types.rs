//! The contract's values, independent of its version.

/// A header of a message. Headers repeat, may be empty, and may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name, with replacement characters if it is not UTF-8.
    pub key: &'a str,
    /// The value; None is null.
    pub value: Option<&'a [u8]>,
}

/// A message for a plugin. It borrows from the record, which is copied only into the plugin's memory.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// Stable over every redelivery, retry and replay: the idempotency key.
    pub id: &'a str,
    /// The topic to which it was originally published.
    pub topic: &'a str,
    /// The partition in that topic.
    pub partition: u32,
    /// The offset in that partition.
    pub offset: u64,
    /// The timestamp in milliseconds since the Unix epoch; 0 if the record has none.
    pub timestamp_ms: u64,
    /// The key; None is a null key.
    pub key: Option<&'a [u8]>,
    /// The value; None is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The sender's headers, in order.
    pub headers: Vec<Header<'a>>,
    /// The number of the delivery, from 1.
    pub attempt: u32,
    /// The number of the last delivery under the retry policy, without the rules for single failure codes. At
    /// least `attempt`.
    pub max_attempts: u32,
}

/// A failure that the plugin reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A short, stable code by which failures are grouped.
    pub code: String,
    /// The description for users.
    pub detail: String,
}

/// A transient failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryLater {
    /// The failure.
    pub failure: Failure,
    /// The delay that the plugin requests, in milliseconds, which uses no attempt. None is the next delay of
    /// the policy.
    pub after_ms: Option<u64>,
}

/// The outcome of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done, with a receipt or an empty string.
    Done(String),
    /// Skipped, with a reason or an empty string.
    Skipped(String),
    /// A transient failure: deliver the message again.
    Retry(RetryLater),
    /// A permanent failure: the message is a dead letter.
    Reject(Failure),
}

/// The retry policy that a plugin describes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// The number of deliveries after the first one.
    pub retries: u32,
    /// The delay before the first retry, in milliseconds.
    pub delay_ms: u64,
    /// The factor of each further delay; 1 or more.
    pub multiplier: f64,
    /// The longest delay, in milliseconds.
    pub max_delay_ms: u64,
    /// The maximum random extension of a delay, as a fraction of it from 0 to 1.
    pub jitter: f64,
    /// The longest time between a message's first failure and its last retry, in milliseconds.
    pub max_age_ms: u64,
}

/// The subscription that a plugin describes.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// The source topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// The dead-letter topic.
    pub dead_letter_topic: String,
    /// The retry policy.
    pub retry: RetryPolicy,
}

/// A plugin's description of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The plugin's name.
    pub name: String,
    /// The plugin's version.
    pub version: String,
    /// A one-line summary.
    pub summary: String,
    /// The subscription.
    pub subscription: Subscription,
    /// Additional attributes, in order.
    pub attributes: Vec<(String, String)>,
}
