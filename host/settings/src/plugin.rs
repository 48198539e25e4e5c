//! `[[plugin]]`: one plugin, what it reads, what it may reach and use up, and what becomes of failures.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Allow, HttpSettings, MailSettings, Value};

/// One plugin, and what it may subscribe to. What is left out is as the plugin describes itself.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PluginSettings {
    /// The component's file, seen from the directory of this file.
    #[schemars(with = "String", example = "email.wasm")]
    pub path: PathBuf,
    /// The topic it handles. It must be named here: a plugin does not choose what it reads.
    #[schemars(example = "email.send")]
    pub topic: String,
    /// The consumer group it handles it in.
    #[schemars(example = "email-send-group")]
    pub group: Option<String>,
    /// Where its dead letters go. A topic other than the plugin's own has `<topic>.dlt`.
    #[schemars(example = "email.send.dlt")]
    pub dead_letter_topic: Option<String>,
    /// What the name of its dead-letter topic has behind the topic's, where `dead-letter-topic` does
    /// not name one.
    #[schemars(example = ".dlt")]
    pub dead_letter_suffix: Option<String>,
    /// What the names of its retry topics have behind the topic's: `<topic>-retry` where all delays
    /// are equal, else `<topic>-retry-<ms>` for each different one, as Spring Kafka names them.
    #[schemars(example = "-retry")]
    pub retry_suffix: Option<String>,
    /// How many of its messages may be called at the same time in this process, 1 to 1000; without
    /// it 32 for each core.
    #[schemars(with = "Option<u32>", example = 64)]
    pub concurrency: Option<NonZeroU32>,
    /// Which messages wait for which: `unordered`, where what failed comes back through retry topics;
    /// `key`, where those of a key are handled one after the other, or `partition`, where all of a
    /// partition are. In the last two what failed is tried again in its place: what comes after it
    /// waits, and there are no retry topics.
    #[schemars(with = "Option<String>", example = &"key")]
    pub ordering: Option<Ordering>,
    /// Where messages are ordered by key, what becomes of those after a dead letter of the same key:
    /// `continue`, or `hold`, where they follow it into the dead-letter topic unhandled, with the code
    /// `follows-dead-letter`, until the key is released by `host groups release`.
    #[schemars(with = "Option<String>", example = &"hold")]
    pub on_dead: Option<OnDead>,
    /// `message`: a fresh instance for every message, so that none can see another. `instance`: instances
    /// are used again, which is faster; what a plugin remembers lasts until its instance is replaced.
    #[schemars(with = "Option<String>", example = &"instance")]
    pub isolation: Option<Isolation>,
    /// What becomes of a message whose e-mail or request may have been sent, where nobody knows: the host
    /// or the connection broke in the middle. `send`: it is sent again. `dead-letter`: the message is a dead
    /// letter with the code `unknown-effect`.
    #[schemars(with = "Option<String>", example = &"send")]
    pub unsettled: Option<Unsettled>,
    /// What it may reach; all else is denied: `mail`; URLs with all below them, `https://api.example.com/v1`;
    /// networks that are not public and that those URLs may lead to, `network:10.0.0.0/8`; variables of the
    /// environment, `env:TZ`; directories,
    /// to be read, `dir:templates`.
    #[serde(default)]
    #[schemars(with = "Vec<String>", example = ["mail", "env:TZ"])]
    pub allow: Vec<Allow>,
    /// What the plugin reads by name. Each value is a text, `{ env = "NAME" }` or `{ file = "PATH" }`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>", example = BTreeMap::from([("gateway", "solapi")]))]
    pub config: BTreeMap<String, Value>,
    /// What the host adds to its HTTP requests to this URL and all below it, so that the plugin never holds
    /// it. It allows nothing by itself: the URL must be one that `allow` covers.
    #[serde(default)]
    #[schemars(example = "https://api.example.com")]
    pub http: BTreeMap<String, HttpSettings>,
    /// What one call may use up.
    #[serde(default)]
    pub limits: LimitSettings,
    /// Who it may write to, as whom, and how often. This grants nothing: `mail` must be in `allow`.
    #[serde(default)]
    pub mail: MailSettings,
    /// When its failed messages are tried again.
    #[serde(default)]
    pub retry: RetrySettings,
    /// What holds for some failures.
    #[serde(rename = "rule", default)]
    pub rules: Vec<RuleSettings>,
}

/// Which messages of a partition wait for which.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ordering {
    /// None: what failed comes back through retry topics.
    #[default]
    Unordered,
    /// Those of a key, one after the other; what failed is tried again in its place.
    Key,
    /// All of a partition, one after the other; what failed is tried again in its place.
    Partition,
}

impl Ordering {
    /// Whether what failed is tried again in its place.
    pub fn is_in_place(self) -> bool {
        self != Self::Unordered
    }

    /// As it is written in a configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unordered => "unordered",
            Self::Key => "key",
            Self::Partition => "partition",
        }
    }
}

/// What becomes of a failed delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is tried again, as long as retries are left.
    Retry,
    /// It is a dead letter at once.
    Reject,
    /// It is finished, and a line in the log is all that is left of it.
    Discard,
}

impl Action {
    /// As the configuration spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Reject => "reject",
            Self::Discard => "discard",
        }
    }
}

/// What becomes of the messages after a dead letter of the same key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDead {
    /// They are handled.
    #[default]
    Continue,
    /// They follow it into the dead-letter topic.
    Hold,
}

impl OnDead {
    /// As it is written in a configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Hold => "hold",
        }
    }
}

/// What becomes of an effect that may have happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unsettled {
    /// It is performed again.
    #[default]
    Send,
    /// Its message is a dead letter.
    DeadLetter,
}

impl Unsettled {
    /// As it is written in a configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::DeadLetter => "dead-letter",
        }
    }
}

/// When failed messages are tried again. Each different delay is a topic.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RetrySettings {
    /// Deliveries after the first one; 0 makes every failure a dead letter.
    #[schemars(example = 5)]
    pub retries: Option<u32>,
    /// Before the first retry.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "1s")]
    pub delay: Option<Duration>,
    /// What each further delay is multiplied by; 1 or more.
    #[schemars(example = 2.0)]
    pub multiplier: Option<f64>,
    /// No delay is longer.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "1h")]
    pub max_delay: Option<Duration>,
    /// A share of each delay, 0 to 1, up to which it is made longer at random, so that what failed
    /// together does not come back together.
    #[schemars(example = 0.0)]
    pub jitter: Option<f64>,
    /// How long after its first failure a message may still be tried again; at most 24 h.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "24h")]
    pub max_age: Option<Duration>,
    /// How often a message that failed is called again in place, with the same attempt, before it
    /// goes to a retry topic; at most 10. None of these calls begins more than 3 s after the first.
    #[schemars(example = 0)]
    pub blocking_tries: Option<u32>,
    /// The pause before each of them; at most 1 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "100ms")]
    pub blocking_delay: Option<Duration>,
}

/// What holds for failures with some codes; repeat the table for more. The first one that matches
/// counts. Give it one at least of `retries`, `action` and `blocking-tries`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RuleSettings {
    /// The failure codes it is for, those of the host among them (`trap`, `exit`, `stack-overflow`,
    /// `wrong-outcome-count`, and those of the limits); `*` stands for any characters.
    #[schemars(example = "smtp-*")]
    pub code: String,
    /// Deliveries after the first one, in place of the policy's; 0 makes a dead letter at once.
    #[schemars(example = 10)]
    pub retries: Option<u32>,
    /// `retry`: tried again, also where the plugin rejects it. `reject`: a dead letter at once.
    /// `discard`: finished with a line in the log. Without it the plugin's own outcome counts.
    #[schemars(with = "Option<String>", example = &"retry")]
    pub action: Option<Action>,
    /// As under `plugin.retry`, for these codes.
    #[schemars(example = 2)]
    pub blocking_tries: Option<u32>,
}

impl PluginSettings {
    /// Every value that may be kept somewhere else.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        self.config.values_mut().chain(self.http.values_mut().flat_map(HttpSettings::values_mut))
    }
}

/// Whether messages share an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Each has a fresh one.
    #[default]
    Message,
    /// One after the other.
    Instance,
}

impl Isolation {
    /// As it is written in a configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Instance => "instance",
        }
    }
}

/// What one call may use up. Each limit has a failure code of its own.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LimitSettings {
    /// Memory and tables of an instance together; 1 MiB to 1 GiB (`out-of-memory`).
    #[schemars(with = "Option<String>", example = &"64 MiB")]
    pub memory: Option<ByteSize>,
    /// What the plugin itself may compute in one call, the host's work not counted (`cpu-timeout`).
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "2s")]
    pub guest_time: Option<Duration>,
    /// How long a call may take in all, 100 ms to 2 min (`timeout`).
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "10s")]
    pub call_time: Option<Duration>,
    /// An outcome: receipt, code and detail together (`outcome-too-large`).
    #[schemars(with = "Option<String>", example = &"64 KiB")]
    pub outcome: Option<ByteSize>,
    /// What it logs and prints (`log-too-large`).
    #[schemars(with = "Option<String>", example = &"256 KiB")]
    pub log: Option<ByteSize>,
    /// An e-mail with its attachments (`mail-too-large`).
    #[schemars(with = "Option<String>", example = &"10 MiB")]
    pub mail: Option<ByteSize>,
    /// The bodies of a call's HTTP requests together (`http-request-too-large`).
    #[schemars(with = "Option<String>", example = &"1 MiB")]
    pub http_request: Option<ByteSize>,
    /// A call's HTTP responses, heads and bodies together (`http-response-too-large`).
    #[schemars(with = "Option<String>", example = &"1 MiB")]
    pub http_response: Option<ByteSize>,
    /// E-mails, lines and reads of the configuration; HTTP requests, as many again (`too-many-host-calls`).
    #[schemars(example = 10_000)]
    pub host_calls: Option<u32>,
}
