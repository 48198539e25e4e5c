//! The ledger of performed effects, in the host's store.
//!
//! One task writes. It combines all waiting requests in one transaction, so that many messages share a write
//! to the disk.

mod batch;
mod health;
mod statements;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::Store;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use self::batch::Writer;
pub use self::health::{Outage, StoreHealth};
use crate::{Key, Record};

/// The maximum time for a request.
const BOUND: Duration = Duration::from_secs(5);
/// The maximum number of queued requests. Further requests wait for space.
const MAX_QUEUE: usize = 4096;

/// The state of an effect when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It had not begun before; its beginning is recorded now.
    New,
    /// It was performed, with this answer.
    Done(Record),
    /// It is in doubt: it had begun before, and no result is recorded.
    Unsettled,
    /// Another process performs it, and was seen a few seconds ago.
    Elsewhere,
}

/// Records effects. When it is dropped, its writer ends after the queued requests.
#[derive(Debug)]
pub struct Ledger {
    requests: mpsc::Sender<Request>,
    health: StoreHealth,
}

/// A change of the ledger, with the sender of its result.
enum Request {
    Begin(Row, oneshot::Sender<Result<Begun, String>>),
    Settle(Row, String, oneshot::Sender<Result<(), String>>),
    /// Without a sender if the ledger itself undoes a beginning.
    Forget(String, Option<oneshot::Sender<Result<(), String>>>),
    /// Also removes an effect that was performed.
    Undo(String, oneshot::Sender<Result<(), String>>),
    /// The effect remains without an answer, and this process does not perform it any more.
    Disown(String, oneshot::Sender<Result<(), String>>),
}

/// The identity of an effect.
#[derive(Debug, Clone)]
struct Row {
    hash: String,
    group: Arc<str>,
    message: Arc<str>,
}

impl Row {
    fn of(key: &Key) -> Self {
        Self { hash: key.id(), group: Arc::clone(&key.group), message: Arc::clone(&key.message) }
    }
}

impl Ledger {
    /// A ledger in this store, which keeps each effect for `keep`. Must be called on a runtime, which runs
    /// the writer.
    pub fn new(store: Store, keep: Duration) -> Self {
        let (requests, queue) = mpsc::channel(MAX_QUEUE);
        let health = StoreHealth::new();
        tokio::spawn(Writer::new(store, keep, health.clone()).run(queue));
        Self { requests, health }
    }

    /// Whether the store is available.
    pub fn health(&self) -> &StoreHealth {
        &self.health
    }

    /// Records that the effect is about to be performed, unless it had begun before. If the call is
    /// cancelled, the beginning is not recorded, or undone.
    ///
    /// # Errors
    /// The store did not record it within 5 s.
    pub async fn begin(&self, key: &Key) -> Result<Begun, String> {
        self.request(|reply| Request::Begin(Row::of(key), reply)).await
    }

    /// Records the answer of a performed effect.
    ///
    /// # Errors
    /// The store did not confirm it within 5 s. It may be recorded all the same.
    pub async fn settle(&self, key: &Key, record: &Record) -> Result<(), String> {
        let answer = encode(record);
        self.request(|reply| Request::Settle(Row::of(key), answer, reply)).await
    }

    /// Removes an effect that had begun and was not performed. An effect with an answer stays.
    ///
    /// # Errors
    /// The store did not confirm it within 5 s. It may be removed all the same.
    pub async fn forget(&self, key: &Key) -> Result<(), String> {
        self.request(|reply| Request::Forget(key.id(), Some(reply))).await
    }

    /// Removes an effect that was performed and had no effect.
    ///
    /// # Errors
    /// The store did not confirm it within 5 s. It may be removed all the same.
    pub async fn undo(&self, key: &Key) -> Result<(), String> {
        self.request(|reply| Request::Undo(key.id(), reply)).await
    }

    /// Leaves the effect in doubt: this process does not perform it any more.
    ///
    /// # Errors
    /// The store did not confirm it within 5 s.
    pub async fn disown(&self, key: &Key) -> Result<(), String> {
        self.request(|reply| Request::Disown(key.id(), reply)).await
    }

    async fn request<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Request,
    ) -> Result<T, String> {
        let response = async {
            let (reply, answer) = oneshot::channel();
            self.requests.send(request(reply)).await.ok()?;
            answer.await.ok()
        };
        match timeout(BOUND, response).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err("the store is closed".to_owned()),
            Err(_) => Err(format!("no response from the store within {} s", BOUND.as_secs())),
        }
    }
}

/// A record as text without a NUL, which PostgreSQL refuses.
#[derive(Serialize, Deserialize)]
struct Answer {
    head: String,
    /// In hexadecimal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    body: String,
}

/// The stored text of a record.
pub fn encode(record: &Record) -> String {
    let body = hex::encode(&record.body);
    serde_json::to_string(&Answer { head: record.head.clone(), body }).unwrap_or_default()
}

/// The record from its stored text. None if the text is not a record.
pub fn decode(text: &str) -> Option<Record> {
    let Answer { head, body } = serde_json::from_str(text).ok()?;
    let body = hex::decode(body).ok()?;
    Some(Record { head, body })
}
