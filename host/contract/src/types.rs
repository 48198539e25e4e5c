//! The contract's values, whatever version a plugin speaks.

/// A header of a message. Headers repeat, may be empty, and may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name; what is not UTF-8 is shown with replacement characters.
    pub key: &'a str,
    /// None is null.
    pub value: Option<&'a [u8]>,
}

/// A message as a plugin is given it. It borrows from the record, so that nothing is copied before the guest's
/// memory.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// Stable over every redelivery, retry and replay: the idempotency key.
    pub id: &'a str,
    /// The topic it was first published to.
    pub topic: &'a str,
    /// The partition there.
    pub partition: u32,
    /// The offset there.
    pub offset: u64,
    /// Milliseconds since the Unix epoch; 0 where the record carries none.
    pub timestamp_ms: u64,
    /// None is a null key.
    pub key: Option<&'a [u8]>,
    /// None is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The sender's headers, in order.
    pub headers: Vec<Header<'a>>,
    /// The number of the delivery, from 1.
    pub attempt: u32,
    /// The number of the last delivery before the message is dead.
    pub max_attempts: u32,
}

/// Why a message failed, as the plugin says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Short and stable: the name failures are grouped by.
    pub code: String,
    /// For a person.
    pub detail: String,
}

/// A transient failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryLater {
    /// Why.
    pub failure: Failure,
    /// The delay that the plugin asks for, in milliseconds; it spends no attempt. None: the policy's next one.
    pub after_ms: Option<u64>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Finished; a receipt, or empty.
    Done(String),
    /// There was nothing to do.
    Skipped(String),
    /// Transient: deliver again later.
    Retry(RetryLater),
    /// Permanent: a dead letter.
    Reject(Failure),
}

/// When failed messages are delivered again, as a plugin describes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// Deliveries after the first one.
    pub retries: u32,
    /// The delay before the first retry, in milliseconds.
    pub delay_ms: u64,
    /// The factor of each further delay; 1 or more.
    pub multiplier: f64,
    /// The longest delay, in milliseconds.
    pub max_delay_ms: u64,
    /// The share of a delay, 0 to 1, by which it may be longer at random.
    pub jitter: f64,
    /// The longest time between a message's first failure and its last retry, in milliseconds.
    pub max_age_ms: u64,
}

/// The topic and the group that a plugin asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// The topic it handles.
    pub topic: String,
    /// The consumer group it handles it in.
    pub group: String,
    /// The topic of its dead letters.
    pub dead_letter_topic: String,
    /// When failed messages are delivered again.
    pub retry: RetryPolicy,
}

/// A plugin's description of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One line for people.
    pub summary: String,
    /// What it subscribes to.
    pub subscription: Subscription,
    /// Further names and values, in order.
    pub attributes: Vec<(String, String)>,
}
