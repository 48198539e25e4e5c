//! What messages have already sent, in the host's store.
//!
//! One task writes. Whatever waits when it is free goes into one transaction, so that many messages
//! share a write to the disk.

mod batch;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use base::text;
use serde::{Deserialize, Serialize};
use store::Store;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use self::batch::Writer;
use crate::{Key, Record};

/// How long whoever asks may wait.
const BOUND: Duration = Duration::from_secs(5);
/// What waits to be written at most; whoever comes then waits to be let in.
const QUEUE: usize = 4096;

/// How an effect stands when it is begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It was not begun before, and it is written down now that it is.
    New,
    /// It is done; this was the answer.
    Done(Record),
    /// It was begun before, and nobody wrote down what became of it.
    Unsettled,
}

/// Remembers effects. Whoever drops it ends its writer, after what waits.
#[derive(Debug)]
pub struct Ledger {
    jobs: mpsc::Sender<Job>,
}

/// Something to write, and who waits for it.
enum Job {
    Begin(Row, oneshot::Sender<Result<Begun, String>>),
    Settle(Row, String, oneshot::Sender<Result<(), String>>),
    /// Nobody waits where the host itself takes it back.
    Forget(String, Option<oneshot::Sender<Result<(), String>>>),
}

/// What names an effect, to the host and to people.
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
    /// Keeps it in this store, each effect for so long. It writes on the runtime it is made on.
    pub fn new(store: Store, keep: Duration) -> Self {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(Writer::new(store, keep).run(waiting));
        Self { jobs }
    }

    /// Writes down that the effect is about to be performed, unless it was begun before. What nobody
    /// waits for any more is not written, or taken back.
    ///
    /// # Errors
    /// The store did not take it within 5 s: why.
    pub async fn begin(&self, key: &Key) -> Result<Begun, String> {
        self.ask(|reply| Job::Begin(Row::of(key), reply)).await
    }

    /// Writes down the answer.
    ///
    /// # Errors
    /// The store did not take it within 5 s: why. It may have, later.
    pub async fn settle(&self, key: &Key, record: &Record) -> Result<(), String> {
        let answer = encode(record);
        self.ask(|reply| Job::Settle(Row::of(key), answer, reply)).await
    }

    /// Forgets an effect that was begun and did not happen. One that is done stays.
    ///
    /// # Errors
    /// The store did not take it within 5 s: why. It may have, later.
    pub async fn forget(&self, key: &Key) -> Result<(), String> {
        self.ask(|reply| Job::Forget(key.id(), Some(reply))).await
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Job) -> Result<T, String> {
        let asked = async {
            let (reply, answer) = oneshot::channel();
            self.jobs.send(job(reply)).await.ok()?;
            answer.await.ok()
        };
        match timeout(BOUND, asked).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err("the store is closed".to_owned()),
            Err(_) => Err(format!("no answer from the store within {} s", BOUND.as_secs())),
        }
    }
}

/// A record as text that both databases take: JSON has no NUL.
#[derive(Serialize, Deserialize)]
struct Answer {
    head: String,
    /// Hexadecimal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    body: String,
}

/// As it is kept.
pub fn encode(record: &Record) -> String {
    let body = text::hex(&record.body);
    serde_json::to_string(&Answer { head: record.head.clone(), body }).unwrap_or_default()
}

/// None where this host did not write it.
pub fn decode(text: &str) -> Option<Record> {
    let Answer { head, body } = serde_json::from_str(text).ok()?;
    let body = text::from_hex(&body)?;
    Some(Record { head, body })
}
