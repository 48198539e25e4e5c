//! A dead letter: what it is, and how it is read from a record.

use std::str;

use base::bytes::Bytes;
use effects::Content;
use kafka::headers::{self, DeadLetterInfo};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

/// How much of a value a search looks in, in bytes.
const SEARCHED: usize = 4 << 10;
/// The longest text of a record's that is kept as one, in bytes: codes, names, details.
pub(super) const LONGEST: usize = 8 << 10;
/// Likewise, for a message's id: PostgreSQL's indexes take no more than 2,704 bytes.
pub(super) const LONGEST_ID: usize = 1 << 10;

/// What has become of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nobody has done anything about it.
    Open,
    /// It was sent back.
    Replayed,
    /// It was given up, with a reason.
    Discarded,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Open, Self::Replayed, Self::Discarded];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// Where a record lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A header: its name and value.
pub type Header = (Bytes, Option<Bytes>);

/// A record of a dead-letter topic, as it was read.
#[derive(Debug, Clone)]
pub struct Record {
    /// Where it lies.
    pub place: Place,
    /// Milliseconds since the Unix epoch; 0 where the record carries none.
    pub timestamp_ms: i64,
    /// None is a null key.
    pub key: Option<Vec<u8>>,
    /// None is a tombstone.
    pub value: Option<Vec<u8>>,
    /// All of them, in order.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// A dead letter, whole. Moments are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// 32 hexadecimal digits.
    pub id: String,
    /// What has become of it.
    pub state: State,
    /// Since when.
    pub state_since_ms: i64,
    /// The action that did it.
    pub action: Option<String>,
    /// Where it lies; None for one that was edited here.
    pub place: Option<Place>,
    /// When it became a dead letter.
    pub failed_ms: i64,
    /// When its message failed first, where that is known.
    pub first_failed_ms: Option<i64>,
    /// When it came here.
    pub taken_ms: i64,
    /// The message's id.
    pub message: String,
    /// Where the message was first published.
    pub source: Place,
    /// When.
    pub source_timestamp_ms: Option<i64>,
    /// The consumer group it failed in; empty where the record does not say.
    pub consumer_group: String,
    /// The group of its failure.
    pub failure_group: String,
    /// The plugin, name@version; the consumer group where another consumer failed.
    pub plugin: String,
    /// The plugin's digest; empty where another consumer failed.
    pub digest: String,
    /// The failure's code; the exception's class where another consumer failed.
    pub code: String,
    /// The failure's detail.
    pub detail: String,
    /// The kind of failure, in the form of a class name.
    pub exception: String,
    /// The backtrace, or empty.
    pub backtrace: String,
    /// Deliveries that failed; 0 where the record does not say.
    pub attempts: u32,
    /// How often the message had been replayed before.
    pub replays: u32,
    /// None is a null key.
    pub key: Option<Bytes>,
    /// None is a tombstone, or was cut out.
    pub value: Option<Bytes>,
    /// All headers, in order.
    #[schema(value_type = Vec<Vec<Option<Bytes>>>)]
    pub headers: Vec<Header>,
    /// How long the value was that was cut out, in bytes.
    pub value_cut: Option<u64>,
    /// The letter that this is an edited copy of.
    pub edited_from: Option<String>,
}

impl Letter {
    /// Reads a record of a dead-letter topic, whoever wrote it. What it does not say is empty.
    pub fn read(record: Record, now_ms: i64) -> Self {
        let headers = || record.headers.iter().map(|(name, value)| (&name[..], value.as_deref()));
        let post = DeadLetterInfo::read(headers());
        let source = match (post.topic, post.partition, post.offset) {
            (Some(topic), Some(partition), Some(offset)) => Place { topic: kept(topic), partition, offset },
            _ => record.place.clone(),
        };
        let source_timestamp_ms = post.timestamp_ms.filter(|millis| *millis >= 0);
        let message = match headers::own_id(headers()) {
            Some(id) => id.to_owned(),
            None => headers::coordinates(
                &source.topic,
                source.partition,
                source.offset,
                source_timestamp_ms.unwrap_or(0),
            ),
        };
        let consumer_group = kept(post.group.unwrap_or_default());
        let (plugin, digest) = match post.plugin {
            Some(plugin) => (kept(plugin), kept(post.digest.unwrap_or_default())),
            None => (consumer_group.clone(), String::new()),
        };
        let code = post.code.or(post.cause).or(post.exception).filter(|code| !code.is_empty());
        let code = kept(code.unwrap_or("unknown"));
        Self {
            id: id_of(&record),
            state: State::Open,
            state_since_ms: now_ms,
            action: None,
            failed_ms: if record.timestamp_ms > 0 { record.timestamp_ms } else { now_ms },
            first_failed_ms: post.first_failed_ms,
            taken_ms: now_ms,
            message: shortened(&message, LONGEST_ID),
            source,
            source_timestamp_ms,
            failure_group: group_of(&code, &plugin, &digest),
            consumer_group,
            plugin,
            digest,
            code,
            detail: kept(post.detail.unwrap_or_default()),
            exception: kept(post.exception.unwrap_or_default()),
            backtrace: kept(post.backtrace.unwrap_or_default()),
            attempts: post.attempts,
            replays: post.replays,
            value_cut: post.value_cut,
            place: Some(record.place),
            key: record.key.map(Bytes),
            value: record.value.map(Bytes),
            headers: record
                .headers
                .into_iter()
                .map(|(name, value)| (Bytes(name), value.map(Bytes)))
                .collect(),
            edited_from: None,
        }
    }

    /// What the sender wrote: the headers without those that were added on the way here.
    pub fn sender_headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let headers = self.headers.iter();
        headers
            .map(|(name, value)| (&name.0[..], value.as_ref().map(|value| &value.0[..])))
            .filter(|(name, _)| !headers::is_added(name))
    }

    /// What a search looks in.
    pub(super) fn words(&self) -> String {
        let bytes = |bytes: &Option<Bytes>| {
            let bytes = bytes.as_ref().map_or(&[][..], |bytes| &bytes.0);
            String::from_utf8_lossy(bytes.get(..SEARCHED).unwrap_or(bytes)).into_owned()
        };
        let words = [&bytes(&self.key), &bytes(&self.value), &self.detail, &self.message];
        readable(&words.map(String::as_str).join("\n").to_lowercase())
    }
}

/// The group of failures with this code, plugin and digest.
pub fn group_of(code: &str, plugin: &str, digest: &str) -> String {
    let fields = [code, plugin, digest];
    let all = fields.iter().fold(Content::default(), |all, field| all.field(field.as_bytes()));
    hex::encode(&all.digest()[..16])
}

/// Where a record lies, and when it was written there: a topic that is made again has other records at
/// the same offsets.
fn id_of(record: &Record) -> String {
    let Place { topic, partition, offset } = &record.place;
    let mut hash = Sha256::new();
    hash.update(topic.as_bytes());
    hash.update([0]);
    hash.update(partition.to_be_bytes());
    hash.update(offset.to_be_bytes());
    hash.update(record.timestamp_ms.to_be_bytes());
    hex::encode(&hash.finalize()[..16])
}

/// A text of a record's, of bounded length.
fn kept(text: &str) -> String {
    shortened(text, LONGEST)
}

fn shortened(text: &str, longest: usize) -> String {
    let end = text.floor_char_boundary(longest);
    let mut text = readable(text.get(..end).unwrap_or(text));
    text.truncate(text.floor_char_boundary(longest));
    text
}

/// PostgreSQL takes no NUL.
pub(super) fn readable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
