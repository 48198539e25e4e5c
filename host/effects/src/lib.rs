//! Effects of plugins, which are e-mails, HTTP requests and records: each is performed once per message.

mod deduplicator;
mod in_flight;
pub mod ledger;
pub mod metrics;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

pub use self::deduplicator::Deduplicator;
use self::in_flight::InFlight;
use self::ledger::Outage;

/// The SHA-256 of an effect's content.
pub type Digest = [u8; 32];

/// Identifies an effect of a message. The key is the same for every attempt, redelivery and replay.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The consumer group that handles the message.
    pub group: Arc<str>,
    /// The message's id.
    pub message: Arc<str>,
    /// The digest of the effect's content.
    pub digest: Digest,
    /// 0 for the first effect with this content in a call, 1 for the second: a plugin may send the same
    /// e-mail twice on purpose.
    pub occurrence: u32,
}

impl Key {
    /// 32 hexadecimal digits that identify the effect in `Message-ID` and `Idempotency-Key`.
    pub fn id(&self) -> String {
        let digest = Content::default()
            .field(self.group.as_bytes())
            .field(self.message.as_bytes())
            .field(&self.digest)
            .field(&self.occurrence.to_be_bytes())
            .digest();
        hex::encode(&digest[..16])
    }
}

/// Hashes an effect's content field by field. Each field is preceded by its length, so that different
/// contents have different digests.
#[derive(Default)]
pub struct Content(Sha256);

impl Content {
    /// Adds a field.
    #[must_use]
    pub fn field(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    /// The digest of all fields.
    pub fn digest(self) -> Digest {
        self.0.finalize().into()
    }
}

/// Assigns keys to the effects of one call.
#[derive(Debug)]
pub struct Calls {
    group: Arc<str>,
    message: Arc<str>,
    seen: HashMap<Digest, u32>,
}

impl Calls {
    /// The effects of a call for this message.
    pub fn of(group: &str, message: &str) -> Self {
        Self { group: group.into(), message: message.into(), seen: HashMap::new() }
    }

    /// The key of the next effect with this content.
    pub fn next(&mut self, digest: Digest) -> Key {
        let seen = self.seen.entry(digest).or_default();
        let occurrence = *seen;
        *seen += 1;
        Key { group: Arc::clone(&self.group), message: Arc::clone(&self.message), digest, occurrence }
    }
}

/// The result of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Performed<T, E> {
    /// It was performed. The answer is returned to later attempts, which do not perform it again.
    Done(T),
    /// It was not performed. A later attempt performs it.
    Failed(E),
    /// It is in doubt: the connection broke after the effect was sent.
    Unknown(E),
}

/// The answer of a performed effect, in the form that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Text, for example status and headers.
    pub head: String,
    /// Bytes, for example the body of a response.
    pub body: Vec<u8>,
}

/// An answer that can be stored.
pub trait Recorded: Sized {
    /// The stored form.
    fn record(&self) -> Record;
    /// The answer from its stored form. None if it is not one of this type.
    fn recall(record: Record) -> Option<Self>;
}

impl<T, E> From<Performed<T, E>> for Result<T, E> {
    fn from(performed: Performed<T, E>) -> Self {
        match performed {
            Performed::Done(answer) => Ok(answer),
            Performed::Failed(error) | Performed::Unknown(error) => Err(error),
        }
    }
}

/// The reason why an effect was not attempted. It ends the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Interrupted {
    /// The effect is in doubt after an earlier attempt, and the configuration forbids to repeat it.
    #[error("in doubt: an earlier attempt may have sent it")]
    Unknown,
    /// The ledger could not record the attempt, or its task was interrupted.
    #[error("{0}")]
    Unavailable(String),
}

/// Performs effects.
pub struct Effects {
    /// The runtime of the connections.
    runtime: tokio::runtime::Handle,
    /// None if no plugin has effects.
    deduplicator: OnceLock<Arc<Deduplicator>>,
    in_flight: InFlight,
    tasks: TaskTracker,
}

impl Effects {
    /// Performs effects on this runtime, without deduplication.
    pub fn new(runtime: tokio::runtime::Handle) -> Self {
        let (deduplicator, in_flight) = (OnceLock::new(), InFlight::default());
        Self { runtime, deduplicator, in_flight, tasks: TaskTracker::new() }
    }

    /// Deduplicates effects from now on. Only the first call has an effect.
    pub fn deduplicate(&self, deduplicator: Deduplicator) {
        let _ = self.deduplicator.set(Arc::new(deduplicator));
    }

    /// The outage of the store, for which effects wait; None if it is available, or there is none.
    pub fn store_outage(&self) -> Option<Outage> {
        self.deduplicator.get().and_then(|deduplicator| deduplicator.outage())
    }

    /// The runtime of the connections.
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }

    /// Performs the effect, unless it was performed before. Waits for an attempt at the same effect that is
    /// in flight. If the call is cancelled, the effect completes all the same, so that its result is known.
    ///
    /// # Errors
    /// The effect was not attempted.
    pub async fn once<T, E>(
        &self,
        key: Key,
        perform: impl Future<Output = Performed<T, E>> + Send + 'static,
    ) -> Result<Result<T, E>, Interrupted>
    where
        T: Recorded + Send + 'static,
        E: Send + 'static,
    {
        let deduplicator = self.deduplicator.get().cloned();
        let permit = self.in_flight.acquire(key.id()).await;
        let (reply, answer) = oneshot::channel();
        let task = async move {
            match deduplicator {
                Some(deduplicator) => deduplicator.once(key, perform, reply).await,
                None => _ = reply.send(Ok(metrics::count_performed(&key.group, perform.await).into())),
            }
            drop(permit);
        };
        self.runtime.spawn(self.tasks.track_future(task));
        answer.await.unwrap_or_else(|_| Err(Interrupted::Unavailable("sending was interrupted".to_owned())))
    }

    /// Forgets effects that were performed and turned out to have had none: they are performed again. Returns when that
    /// is recorded, or the host stops.
    pub async fn undo(&self, keys: Vec<Key>) {
        let Some(deduplicator) = self.deduplicator.get().cloned() else { return };
        let undoing = async move {
            for key in &keys {
                deduplicator.undo(key).await;
            }
        };
        let _ = self.runtime.spawn(self.tasks.track_future(undoing)).await;
    }

    /// Waits until the effects in flight have completed and their results are stored. Returns false if that
    /// takes longer than `bound`.
    pub async fn finish(&self, bound: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(bound, self.tasks.wait()).await.is_ok()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod once;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_content_and_occurrence() {
        let content = |fields: &[&str]| {
            fields.iter().fold(Content::default(), |all, field| all.field(field.as_bytes())).digest()
        };
        assert_ne!(content(&["ab", "c"]), content(&["a", "bc"]));
        let mut calls = Calls::of("g", "m");
        let (a, b, c) =
            (calls.next(content(&["a"])), calls.next(content(&["a"])), calls.next(content(&["b"])));
        assert_eq!((a.occurrence, b.occurrence, c.occurrence), (0, 1, 0));
        assert_ne!(a.id(), b.id());
        assert_eq!(a.id(), Calls::of("g", "m").next(content(&["a"])).id());
        assert_ne!(a.id(), Calls::of("h", "m").next(content(&["a"])).id());
        assert_eq!(a.id().len(), 32);
    }
}
