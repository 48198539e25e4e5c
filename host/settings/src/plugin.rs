//! `[[plugin]]`: one plugin, its topic, its permissions and limits, and its retries.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Allow, Sections, Sizes, Value};

/// A plugin to run; repeat the table for more. Once a plugin is listed, only listed plugins can run. A key that is
/// not set has its value from the plugin's own description, or its default.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PluginSettings {
    /// The component's file. A relative path starts at the directory of `host.toml`.
    #[schemars(with = "String", example = "email.wasm")]
    pub path: PathBuf,
    /// The topic that the plugin handles. It must be set here: a plugin does not choose what it reads.
    #[schemars(example = "email.send")]
    pub topic: String,
    /// The consumer group.
    #[schemars(example = "email-send-group")]
    pub group: Option<String>,
    /// The dead-letter topic. If `topic` is not the topic that the plugin describes, the default is
    /// `<topic>.dlt`.
    #[schemars(example = "email.send.dlt")]
    pub dead_letter_topic: Option<String>,
    /// The suffix of the dead-letter topic's name. It applies if `dead-letter-topic` is not set.
    #[schemars(example = ".dlt")]
    pub dead_letter_suffix: Option<String>,
    /// The suffix of the names of retry topics. With equal delays there is one retry topic, `<topic>-retry`;
    /// otherwise there is one per delay, `<topic>-retry-<ms>`. Spring Kafka uses the same names. Default:
    /// `-retry`.
    #[schemars(example = "-retry")]
    pub retry_suffix: Option<String>,
    /// The maximum number of concurrent calls in this process, 1 to 1000. Default: 32 per core.
    #[schemars(with = "Option<u32>", example = 64)]
    pub concurrency: Option<NonZeroU32>,
    /// The order of messages. `unordered` (default): failed messages go through retry topics. `key`: messages
    /// with the same key are handled one at a time. `partition`: all messages of a partition are handled one at a
    /// time. With `key` and `partition`, a failed message is retried in place, the messages after it wait, and
    /// there are no retry topics.
    #[schemars(with = "Option<String>", example = &"key")]
    pub ordering: Option<Ordering>,
    /// With `ordering = "key"`: the messages that follow a dead letter with the same key. `continue` (default):
    /// they are handled. `hold`: they go to the dead-letter topic unhandled, with the code `follows-dead-letter`,
    /// until `host groups release` releases the key.
    #[schemars(with = "Option<String>", example = &"hold")]
    pub on_dead: Option<OnDead>,
    /// The number of messages in a row for which the plugin requests a retry, after which it rests: one message at a
    /// time probes whether it works again, with pauses up to 4 s, and none spends an attempt. 0 (default): it never
    /// rests.
    #[schemars(example = 20)]
    pub breaker: Option<u32>,
    /// `message` (default): no call can see another. Its instance is new, or reset to its first state where the
    /// component permits it (`host plugin inspect`). `new-instance`: always a new one. `instance`: instances are
    /// reused as they are; the memory of a plugin lasts until its instance is replaced.
    #[schemars(with = "Option<String>", example = &"instance")]
    pub isolation: Option<Isolation>,
    /// The maximum number of messages in one call, 1 to 1000, if the plugin permits as many (`max-batch` among the
    /// attributes of its description). Without effects and an order, and with `isolation` `message` (where instances are
    /// reset) or `instance`; otherwise, and in retries, each call has one message. Messages of a batch share an instance. If it fails, they are
    /// handled one by one. Default: 64 at most.
    #[schemars(with = "Option<u32>", example = 64)]
    pub max_batch: Option<NonZeroU32>,
    /// The handling of an effect that is in doubt, which may have been performed: the host or the connection failed
    /// before the response. `send` (default): it is performed again. `dead-letter`: the message becomes a
    /// dead letter with the code `unknown-effect`.
    #[schemars(with = "Option<String>", example = &"send")]
    pub unsettled: Option<Unsettled>,
    /// The plugin's permissions.
    #[serde(skip)]
    pub allow: Vec<Allow>,
    /// Values that the plugin reads by name. Each value is a text, `{ env = "NAME" }` or `{ file = "PATH" }`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>", example = BTreeMap::from([("gateway", "solapi")]))]
    pub config: BTreeMap<String, Value>,
    /// The tables of capabilities.
    #[serde(skip)]
    pub sections: Sections,
    /// The limits of one call.
    #[serde(default)]
    pub limits: LimitSettings,
    /// When failed messages are retried.
    #[serde(default)]
    pub retry: RetrySettings,
    /// Rules for some failure codes.
    #[serde(rename = "rule", default)]
    pub rules: Vec<RuleSettings>,
}

/// Which messages of a partition wait for others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ordering {
    /// None wait; failed messages go through retry topics.
    #[default]
    Unordered,
    /// Messages with the same key are handled one at a time and retried in place.
    Key,
    /// All messages of a partition are handled one at a time and retried in place.
    Partition,
}

impl Ordering {
    /// Whether failed messages are retried in place.
    pub fn is_in_place(self) -> bool {
        self != Self::Unordered
    }

    /// The value as `host.toml` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unordered => "unordered",
            Self::Key => "key",
            Self::Partition => "partition",
        }
    }
}

/// The consequence of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A retry, while there are retries left.
    Retry,
    /// A dead letter, without a retry.
    Reject,
    /// Nothing: the message is finished, and the failure is logged.
    Discard,
}

impl Action {
    /// The value as `host.toml` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Reject => "reject",
            Self::Discard => "discard",
        }
    }
}

/// The handling of messages that follow a dead letter with the same key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDead {
    /// They are handled.
    #[default]
    Continue,
    /// They go to the dead-letter topic.
    Hold,
}

impl OnDead {
    /// The value as `host.toml` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Hold => "hold",
        }
    }
}

/// The handling of an effect that is in doubt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unsettled {
    /// It is performed again.
    #[default]
    Send,
    /// Its message becomes a dead letter.
    DeadLetter,
}

impl Unsettled {
    /// The value as `host.toml` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::DeadLetter => "dead-letter",
        }
    }
}

/// When failed messages are retried. Each distinct delay needs a retry topic.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RetrySettings {
    /// The number of retries after the first delivery. With 0, every failed message becomes a dead letter.
    #[schemars(example = 5)]
    pub retries: Option<u32>,
    /// The delay before the first retry.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "1s")]
    pub delay: Option<Duration>,
    /// The factor from each delay to the next, 1 or more.
    #[schemars(example = 2.0)]
    pub multiplier: Option<f64>,
    /// The maximum delay.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "1h")]
    pub max_delay: Option<Duration>,
    /// The maximum share of a delay, 0 to 1, that is added to it at random, so that messages that failed together
    /// are not retried together.
    #[schemars(example = 0.0)]
    pub jitter: Option<f64>,
    /// The maximum time from the first failure of a message to its last retry; at most 24 h.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "24h")]
    pub max_age: Option<Duration>,
    /// The number of calls, at most 10, that repeat a failed delivery before the message goes to a retry topic.
    /// They do not change the attempt number, and none begins later than 3 s after the first call. Default: 0.
    #[schemars(example = 0)]
    pub blocking_tries: Option<u32>,
    /// The pause before each of these calls, at most 1 s. Default: 100 ms.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "100ms")]
    pub blocking_delay: Option<Duration>,
}

/// A rule for some failure codes; repeat the table for more. The first rule that matches applies. A rule needs
/// at least one of `retries`, `action` and `blocking-tries`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RuleSettings {
    /// The failure code, or a pattern in which `*` matches any characters. The host's own codes are `trap`, `exit`,
    /// `stack-overflow`, `wrong-outcome-count` and those of the limits.
    #[schemars(example = "smtp-*")]
    pub code: String,
    /// The number of retries for these codes, in place of `plugin.retry.retries`. With 0, the message becomes a
    /// dead letter.
    #[schemars(example = 10)]
    pub retries: Option<u32>,
    /// `retry`: a retry, even if the plugin rejects the message. `reject`: a dead letter without a retry.
    /// `discard`: the message is finished, and the failure is logged. Default: the plugin's outcome decides.
    #[schemars(with = "Option<String>", example = &"retry")]
    pub action: Option<Action>,
    /// The number of blocking tries for these codes, in place of `plugin.retry.blocking-tries`.
    #[schemars(example = 2)]
    pub blocking_tries: Option<u32>,
}

impl PluginSettings {
    /// Every value that may be in the environment or in a file.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        self.config.values_mut().chain(self.sections.values_mut())
    }
}

/// Whether messages share an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Each message has a clean instance: it is reset after each call, or replaced.
    #[default]
    Message,
    /// Each message has a new instance.
    NewInstance,
    /// Instances are reused, one message at a time.
    Instance,
}

impl Isolation {
    /// The value as `host.toml` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::NewInstance => "new-instance",
            Self::Instance => "instance",
        }
    }
}

/// The limits of one call. Each limit has its own failure code. The examples are the defaults.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LimitSettings {
    /// Memory and tables of an instance together, 1 MiB to 1 GiB (`out-of-memory`).
    #[schemars(with = "Option<String>", example = &"64 MiB")]
    pub memory: Option<ByteSize>,
    /// Computation by the plugin itself, without the time that it waits for the host (`cpu-timeout`).
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "2s")]
    pub guest_time: Option<Duration>,
    /// The whole call, 100 ms to 2 min (`timeout`).
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "10s")]
    pub call_time: Option<Duration>,
    /// The texts of an outcome: a receipt, or code and detail together (`outcome-too-large`).
    #[schemars(with = "Option<String>", example = &"64 KiB")]
    pub outcome: Option<ByteSize>,
    /// Logged and printed text (`log-too-large`).
    #[schemars(with = "Option<String>", example = &"256 KiB")]
    pub log: Option<ByteSize>,
    /// The number of calls of the host: log lines, reads of `config`, e-mails, records. HTTP requests are counted
    /// separately, with the same limit (`too-many-host-calls`).
    #[schemars(example = 10_000)]
    pub host_calls: Option<u32>,
    /// The limits of capabilities.
    #[serde(skip)]
    pub sizes: Sizes,
}
