//! What plugins do to the outside world, e-mails and HTTP requests: each once for a message.

pub mod ledger;
mod memory;
pub mod metrics;
mod under_way;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

pub use self::memory::Memory;
use self::under_way::UnderWay;

/// What names an effect's content: SHA-256 of it.
pub type Digest = [u8; 32];

/// Which effect of which message: the same over every try, redelivery and replay.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The consumer group the message was handled in.
    pub group: Arc<str>,
    /// The message's id.
    pub message: Arc<str>,
    /// What the effect is.
    pub digest: Digest,
    /// 0 for the first effect of this content in a call, 1 for the next: who sends the same
    /// e-mail twice on purpose may.
    pub occurrence: u32,
}

impl Key {
    /// 32 hexadecimal digits that name the effect to others: in `Message-ID` and `Idempotency-Key`.
    pub fn id(&self) -> String {
        let digest = Content::default()
            .field(self.group.as_bytes())
            .field(self.message.as_bytes())
            .field(&self.digest)
            .field(&self.occurrence.to_be_bytes())
            .digest();
        digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// An effect's content, field by field; each goes in with its length, so that no two contents are
/// taken for one.
#[derive(Default)]
pub struct Content(Sha256);

impl Content {
    /// The next field.
    #[must_use]
    pub fn field(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    /// The name of it all.
    pub fn digest(self) -> Digest {
        self.0.finalize().into()
    }
}

/// The effects of one call.
#[derive(Debug)]
pub struct Calls {
    group: Arc<str>,
    message: Arc<str>,
    seen: HashMap<Digest, u32>,
}

impl Calls {
    /// Those of one message.
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

/// How an effect ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Performed<T, E> {
    /// It is done, and not done again: whoever asks again gets this answer.
    Done(T),
    /// It was not done; another try does it.
    Failed(E),
    /// Nobody knows: the connection broke after it was sent.
    Unknown(E),
}

/// What is to be remembered of an effect that was done; nothing remembers it yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// A text, for instance status and headers.
    pub head: String,
    /// Bytes, for instance a response's body.
    pub body: Vec<u8>,
}

/// An answer that can be remembered.
pub trait Recorded: Sized {
    /// What is kept.
    fn record(&self) -> Record;
    /// None where it is not one of these.
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

/// Why an effect was not tried. It ends the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Interrupted {
    /// An earlier try may have done it, and the configuration says not to do it again then.
    #[error("an earlier try may have sent it; nobody knows")]
    Unknown,
    /// It could not be written down what is about to be done.
    #[error("{0}")]
    Unavailable(String),
}

/// Performs effects.
pub struct Effects {
    /// Where connections live.
    runtime: tokio::runtime::Handle,
    /// None where nothing can be sent.
    memory: OnceLock<Arc<Memory>>,
    under_way: UnderWay,
    tasks: TaskTracker,
}

impl Effects {
    /// Performs them on this runtime, and remembers none.
    pub fn new(runtime: tokio::runtime::Handle) -> Self {
        let (memory, under_way) = (OnceLock::new(), UnderWay::default());
        Self { runtime, memory, under_way, tasks: TaskTracker::new() }
    }

    /// Remembers them from here on; the first memory counts.
    pub fn remember(&self, memory: Memory) {
        let _ = self.memory.set(Arc::new(memory));
    }

    /// Where connections live.
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }

    /// Performs the effect, unless it was done before. A call that is cut off does not cut it off:
    /// what became of it is known then. One that is under way is waited for.
    ///
    /// # Errors
    /// It was not tried.
    pub async fn once<T, E>(
        &self,
        key: Key,
        perform: impl Future<Output = Performed<T, E>> + Send + 'static,
    ) -> Result<Result<T, E>, Interrupted>
    where
        T: Recorded + Send + 'static,
        E: Send + 'static,
    {
        let memory = self.memory.get().cloned();
        let turn = self.under_way.turn(key.id()).await;
        let (reply, answer) = oneshot::channel();
        let task = async move {
            match memory {
                Some(memory) => memory.once(key, perform, reply).await,
                None => _ = reply.send(Ok(metrics::effect(&key.group, perform.await).into())),
            }
            drop(turn);
        };
        self.runtime.spawn(self.tasks.track_future(task));
        answer.await.unwrap_or_else(|_| Err(Interrupted::Unavailable("sending was interrupted".to_owned())))
    }

    /// Waits for those under way, and until it is known what became of them. False where that takes
    /// longer than `bound`.
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
    fn keys_tell_contents_and_occurrences_apart() {
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
