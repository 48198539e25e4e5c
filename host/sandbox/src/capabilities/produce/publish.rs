//! The host's implementation of the import `produce`.

mod order;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use destinations::{Reservation, Room};
use effects::{Content, Digest, Effects, Key, Performed, Record, Recorded};
use futures_util::FutureExt as _;
use futures_util::future::try_join_all;
use kafka::errors;
use kafka::headers::{ID, is_reserved};
use kafka::publisher::{NewRecord, Placed, Unacknowledged};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use self::order::{Order, Turn};
use super::bindings::kafka_host::plugin::messages::Header;
use super::bindings::kafka_host::plugin::produce::{self, Position, ProduceError};
use super::capture::CapturedRecord;
use super::grant::{ProduceGrant, Topic};
use super::meaning::Meaning;
use super::{MAX_SIZE, NAME, metrics};
use crate::call::{Call, Context, Outside};
use crate::call_clock::{CallClock, Pause};
use crate::call_end::CallEnd;
use crate::limits::Exceeded;

/// The maximum number of records of one `publish`.
pub const MAX_RECORDS: usize = 1_000;
/// The number of records that are recorded for each one in progress, since that takes longer than publishing. A crash
/// leaves them in doubt.
const AHEAD: usize = 4;

type Published = Result<Position, ProduceError>;

impl produce::Host for Call {
    async fn publish(&mut self, records: Vec<produce::NewRecord>) -> wasmtime::Result<Vec<Published>> {
        self.check_records(&records)?;
        let context = self.context.clone();
        let mut order = Order::default();
        let requested = records.into_iter().map(|record| request(&context, record, &mut order));
        let requested = requested.collect::<wasmtime::Result<Vec<_>>>()?;
        self.enter_host();
        let published =
            try_join_all(requested.into_iter().map(|requested| requested.publish(&context))).await;
        self.leave_host();
        published
    }
}

impl Call {
    /// Each record counts as a call of the host.
    fn check_records(&mut self, records: &[produce::NewRecord]) -> wasmtime::Result<()> {
        records.iter().try_for_each(|_| self.count_host_call())?;
        if records.len() > MAX_RECORDS {
            return Err(self.exceed(Exceeded::Records));
        }
        if records.iter().map(size).sum::<usize>() > self.context.grants.limits.size(MAX_SIZE) {
            return Err(self.exceed(Exceeded::Size(MAX_SIZE)));
        }
        Ok(())
    }
}

/// A record of a call, checked.
enum Requested {
    /// It cannot be published: the topic, if it is granted, and the reason.
    Refused(Option<String>, ProduceError),
    /// A dry run has captured it.
    Captured,
    Publication(Publication),
}

/// Checks a record. Identifies it if it may be published, and captures it in a dry run.
fn request(context: &Context, record: produce::NewRecord, order: &mut Order) -> wasmtime::Result<Requested> {
    let grant = context.grants.get::<ProduceGrant>();
    let granted = grant.as_ref().and_then(|grant| grant.topic(&record.topic));
    let Some((outside, topic)) = context.outside.as_ref().zip(granted) else {
        let why = format!("`produce:{}` is not in the plugin's `allow`", record.topic);
        return Ok(Requested::Refused(None, ProduceError::Denied(why)));
    };
    if let Some(header) = record.headers.iter().find(|header| is_reserved(header.key.as_bytes())) {
        let why = format!("only the host writes the header {:?}", header.key);
        return Ok(Requested::Refused(Some(record.topic), ProduceError::Permanent(why)));
    }
    let key = context.effect(digest(&record))?;
    Ok(match (outside, topic) {
        (Outside::Captured(_), _) => {
            context.output.capture().effect(NAME, Arc::new(captured(record, &key)));
            Requested::Captured
        }
        (Outside::Sent(_), None) => {
            let why = "this process has no connection to Kafka for plugins";
            Requested::Refused(Some(record.topic), ProduceError::Transient(why.to_owned()))
        }
        (Outside::Sent(_), Some(topic)) => {
            let turn = order.next(&record.topic);
            let record = Arc::new(outgoing(record, topic, &key));
            Requested::Publication(Publication { topic: Arc::clone(topic), key, record, turn: Some(turn) })
        }
    })
}

impl Requested {
    /// Publishes the record, and counts it unless this is a dry run.
    async fn publish(self, context: &Context) -> wasmtime::Result<Published> {
        let services = context.outside.as_ref().and_then(Outside::services);
        let (topic, published) = match (self, services) {
            (Self::Captured, _) => return Ok(Ok(Position { partition: 0, offset: 0 })),
            (Self::Refused(topic, error), _) => (topic, Ok(Err(error))),
            (Self::Publication(publication), Some(services)) => {
                let topic = publication.topic.name.to_string_lossy().into_owned();
                (Some(topic), publication.run(context.clock(), &services.effects).await)
            }
            (Self::Publication(_), None) => return Err(wasmtime::Error::msg("a dry run publishes nothing")),
        };
        if !matches!(context.outside, Some(Outside::Captured(_))) {
            metrics::produced(&context.output.plugin(), topic.as_deref(), name_of(&published));
        }
        Ok(published?)
    }
}

fn name_of(published: &Result<Published, CallEnd>) -> &'static str {
    match published {
        Ok(Ok(_)) => "published",
        Ok(Err(ProduceError::Transient(_))) => "transient",
        Ok(Err(ProduceError::Permanent(_))) => "permanent",
        Ok(Err(ProduceError::Denied(_))) => "denied",
        Err(_) => "not-tried",
    }
}

/// A record on its way to its topic.
struct Publication {
    topic: Arc<Topic>,
    key: Key,
    record: Arc<NewRecord>,
    /// Its place among the call's records for the topic, until it was handed to the producer once.
    turn: Option<Turn>,
}

/// Why a record was not published.
enum NotPublished {
    /// It was not the record's fault, or is unknown. The next round waits until the topic works, and asks the ledger.
    Again,
    Refused(ProduceError),
}

impl Publication {
    /// Waits until the record may be published and publishes it, again and again while Kafka or the topic is the reason
    /// that it was not published. Waiting costs the message no attempt, and the call no time.
    async fn run(mut self, clock: Option<&Arc<CallClock>>, effects: &Effects) -> Result<Published, CallEnd> {
        loop {
            let waiting = clock.map(CallClock::wait);
            let reservation = self.topic.destination.reserve(AHEAD).await;
            match self.once(clock, effects, waiting, reservation).await? {
                Ok(position) => return Ok(Ok(position)),
                Err(NotPublished::Refused(error)) => return Ok(Err(error)),
                Err(NotPublished::Again) => {}
            }
        }
    }

    /// Publishes the record unless it was published before. Nothing is recorded while it waits: a record that has begun
    /// and has no result is in doubt after a crash.
    async fn once(
        &mut self,
        clock: Option<&Arc<CallClock>>,
        effects: &Effects,
        waiting: Option<Pause>,
        reservation: Reservation,
    ) -> Result<Result<Position, NotPublished>, CallEnd> {
        let (topic, record, turn) = (Arc::clone(&self.topic), Arc::clone(&self.record), self.turn.take());
        let clock = clock.cloned();
        // A call that has ended begins nothing.
        let (_call, ended) = oneshot::channel::<Infallible>();
        let publishing = async move {
            let turn = match turn {
                Some(turn) => Some(turn.wait().await),
                None => None,
            };
            let Ok(room) = reservation.enter_unless(ended.map(drop)).await else {
                return Performed::Failed(NotPublished::Again);
            };
            let _performing = clock.as_ref().map(CallClock::perform);
            drop(waiting);
            topic.publish(&record, room, || drop(turn)).await
        };
        Ok(effects.once(self.key.clone(), publishing).await?)
    }
}

impl Topic {
    /// Publishes a record, and tells the topic's state what the result means.
    async fn publish(
        &self,
        record: &NewRecord,
        room: Room,
        enqueued: impl FnOnce(),
    ) -> Performed<Position, NotPublished> {
        let stalled = || room.stalled(&self.reason(None));
        let error = match self.publisher.publish(record, enqueued, stalled).await {
            Ok(placed) => {
                room.succeeded();
                return Performed::Done(placed.into());
            }
            Err(error) => error,
        };
        let why = || format!("{}: {}", self.name.to_string_lossy(), errors::short(error.code));
        let reason = self.reason(Some(error));
        match Meaning::of(error) {
            Meaning::Waits => room.failed(&reason),
            Meaning::Closed => {
                room.failed(&reason);
                self.refresh().await;
            }
            Meaning::Full => room.refused(&reason),
            Meaning::Doubt => {
                room.failed(&reason);
                return Performed::Unknown(NotPublished::Again);
            }
            Meaning::Transient => return refused(ProduceError::Transient(why())),
            Meaning::Permanent => {
                room.succeeded();
                return refused(ProduceError::Permanent(why()));
            }
        }
        Performed::Failed(NotPublished::Again)
    }

    /// Why the topic does not work, and what to do. Without an error, there is no acknowledgement yet.
    fn reason(&self, error: Option<Unacknowledged>) -> String {
        let code = error.map(|error| error.code);
        let text = code.map_or_else(|| "no acknowledgement".to_owned(), errors::short);
        let last_error = self.publisher.last_error().filter(|_| code.is_none_or(errors::is_no_response));
        let last_error = last_error.map(|error| format!(" ({error})")).unwrap_or_default();
        let help = errors::publish_help(code, &self.name.to_string_lossy());
        format!("{text}{last_error}; {help}")
    }

    /// The producer asks about the topic only every few minutes once it does not work.
    async fn refresh(&self) {
        let (publisher, name) = (Arc::clone(&self.publisher), self.name.to_string_lossy().into_owned());
        let _ = tokio::task::spawn_blocking(move || publisher.refresh_metadata(&name)).await;
    }
}

fn refused(error: ProduceError) -> Performed<Position, NotPublished> {
    Performed::Failed(NotPublished::Refused(error))
}

fn captured(record: produce::NewRecord, key: &Key) -> CapturedRecord {
    let produce::NewRecord { topic, key: record_key, value, headers } = record;
    let host_id = (!has_id(&headers)).then(|| key.id());
    let headers = headers.into_iter().map(|header| (header.key, header.value.map(base::bytes::Bytes)));
    CapturedRecord {
        topic,
        key: record_key.map(base::bytes::Bytes),
        value: value.map(base::bytes::Bytes),
        headers: headers.collect(),
        host_id,
    }
}

/// The record as it is published: with an id, by which a host that consumes it knows a repetition.
fn outgoing(record: produce::NewRecord, topic: &Topic, key: &Key) -> NewRecord {
    let produce::NewRecord { key: record_key, value, headers, .. } = record;
    let id = (!has_id(&headers)).then(|| key.id());
    let headers = headers.into_iter().map(|header| (header.key, header.value));
    let id = id.map(|id| (String::from_utf8_lossy(ID).into_owned(), Some(id.into_bytes())));
    NewRecord { topic: topic.name.clone(), key: record_key, value, headers: headers.chain(id).collect() }
}

fn has_id(headers: &[Header]) -> bool {
    headers.iter().any(|header| header.key.as_bytes() == ID)
}

/// The size of a record in bytes, as the limit counts it.
fn size(record: &produce::NewRecord) -> usize {
    let bytes = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let headers = record.headers.iter().map(|header| header.key.len() + bytes(&header.value));
    record.topic.len() + bytes(&record.key) + bytes(&record.value) + headers.sum::<usize>()
}

/// Identifies a record by its content.
fn digest(record: &produce::NewRecord) -> Digest {
    let bytes = |content: Content, bytes: &Option<Vec<u8>>| match bytes {
        Some(bytes) => content.field(&[1]).field(bytes),
        None => content.field(&[0]),
    };
    let content = Content::default().field(NAME.as_bytes()).field(record.topic.as_bytes());
    let content = bytes(bytes(content, &record.key), &record.value);
    let headers = record.headers.iter();
    headers
        .fold(content, |content, header| bytes(content.field(header.key.as_bytes()), &header.value))
        .digest()
}

impl From<Placed> for Position {
    fn from(placed: Placed) -> Self {
        Self { partition: placed.partition.cast_unsigned(), offset: placed.offset.cast_unsigned() }
    }
}

/// A position, as it is recorded.
#[derive(Serialize, Deserialize)]
struct Recalled {
    partition: u32,
    offset: u64,
}

impl Recorded for Position {
    fn record(&self) -> Record {
        let recalled = Recalled { partition: self.partition, offset: self.offset };
        Record { head: serde_json::to_string(&recalled).unwrap_or_default(), body: Vec::new() }
    }

    fn recall(record: Record) -> Option<Self> {
        let Recalled { partition, offset } = serde_json::from_str(&record.head).ok()?;
        Some(Self { partition, offset })
    }
}
