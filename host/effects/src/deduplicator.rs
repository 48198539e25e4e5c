//! Performs effects once over all attempts, redeliveries and replays of a message.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use backon::{ConstantBuilder, Retryable as _};
use tokio::sync::oneshot;

use crate::ledger::{Begun, Ledger, Outage};
use crate::metrics;
use crate::{Interrupted, Key, Performed, Record, Recorded};

/// The time after which recording the result of an effect is abandoned. No further effects begin meanwhile, so that
/// the number of unrecorded results is small.
const RECORD_BOUND: Duration = Duration::from_secs(3600);
/// The pause between two requests to a store that is unavailable.
const PAUSE: Duration = Duration::from_secs(1);

type Answer<T, E> = Result<Result<T, E>, Interrupted>;

/// Looks up and records effects in a ledger.
pub struct Deduplicator {
    ledger: Ledger,
    /// The consumer groups in which an effect in doubt is not repeated.
    no_repeat: HashSet<String>,
}

/// The result of an effect, as it is recorded.
enum Outcome {
    Done(Record),
    Failed,
    Unknown,
    /// It was done, and had no effect.
    Undone,
}

impl Deduplicator {
    /// Uses this ledger. Effects in doubt are repeated, except in the groups `no_repeat`.
    pub fn new(ledger: Ledger, no_repeat: HashSet<String>) -> Self {
        Self { ledger, no_repeat }
    }

    /// The outage of the store, if there is one.
    pub(super) fn outage(&self) -> Option<Outage> {
        self.ledger.health().outage()
    }

    /// Performs the effect unless it was performed before. Waits while the store is unavailable. Replies after the first attempt to record the
    /// result; returns when the result is recorded or the recording is abandoned.
    pub(super) async fn once<T: Recorded, E>(
        &self,
        key: Key,
        perform: impl Future<Output = Performed<T, E>>,
        mut reply: oneshot::Sender<Answer<T, E>>,
    ) {
        let begun = loop {
            match self.begin(&key).await {
                Err(Interrupted::Unavailable(_)) | Ok(Begun::Elsewhere) => {}
                begun => break begun,
            }
            tokio::select! {
                () = reply.closed() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        };
        let is_new = match begun {
            Ok(Begun::New) => true,
            // The loop has waited for an effect in progress elsewhere.
            Ok(Begun::Unsettled | Begun::Elsewhere) => false,
            // It was performed, even if its answer cannot be read.
            Ok(Begun::Done(record)) => {
                let answer = T::recall(record).map(Ok).ok_or(Interrupted::Unknown);
                return drop(reply.send(answer));
            }
            Err(interrupted) => return drop(reply.send(Err(interrupted))),
        };
        if reply.is_closed() {
            // The call was cancelled before anything was sent.
            let outcome = if is_new { Outcome::Failed } else { Outcome::Unknown };
            return self.record_persistently(&key, &outcome).await;
        }
        let (outcome, result) = match metrics::count_performed(&key.group, perform.await) {
            Performed::Done(answer) => (Outcome::Done(answer.record()), Ok(answer)),
            Performed::Failed(error) if is_new => (Outcome::Failed, Err(error)),
            // An earlier attempt may have sent it, independently of the result of this one.
            Performed::Failed(error) | Performed::Unknown(error) => (Outcome::Unknown, Err(error)),
        };
        let recorded = self.record(&key, &outcome).await;
        let _ = reply.send(Ok(result));
        if recorded.is_err() {
            self.record_persistently(&key, &outcome).await;
        }
    }

    /// Forgets an effect that was performed and had no effect.
    pub(super) async fn undo(&self, key: &Key) {
        metrics::count(&key.group, "undone");
        self.record_persistently(key, &Outcome::Undone).await;
    }

    async fn begin(&self, key: &Key) -> Result<Begun, Interrupted> {
        let count = |result| metrics::count(&key.group, result);
        match self.ledger.begin(key).await {
            Ok(Begun::Unsettled) if self.no_repeat.contains(&*key.group) => {
                count("refused");
                // Nobody waits for this process.
                let _ = self.ledger.disown(key).await;
                Err(Interrupted::Unknown)
            }
            Ok(begun) => {
                match &begun {
                    Begun::New | Begun::Elsewhere => {}
                    Begun::Unsettled => count("repeated"),
                    Begun::Done(_) => count("remembered"),
                }
                Ok(begun)
            }
            Err(error) => {
                count("unavailable");
                Err(Interrupted::Unavailable(error))
            }
        }
    }

    async fn record(&self, key: &Key, outcome: &Outcome) -> Result<(), String> {
        match outcome {
            Outcome::Done(record) => self.ledger.settle(key, record).await,
            Outcome::Failed => self.ledger.forget(key).await,
            Outcome::Unknown => self.ledger.disown(key).await,
            Outcome::Undone => self.ledger.undo(key).await,
        }
    }

    /// Records an outcome, repeatedly for up to an hour.
    async fn record_persistently(&self, key: &Key, outcome: &Outcome) {
        let started = Instant::now();
        let backoff = ConstantBuilder::default().with_delay(PAUSE).without_max_times();
        let recorded = (|| self.record(key, outcome)).retry(backoff);
        if let Err(error) = recorded.when(|_| started.elapsed() < RECORD_BOUND).await {
            let sent = match outcome {
                Outcome::Done(_) => "was sent",
                Outcome::Failed | Outcome::Unknown => "was not sent",
                Outcome::Undone => "was sent and had no effect",
            };
            tracing::error!(
                group = %key.group, message = %key.message, error,
                "cannot record the result of an effect, which is in doubt for the next attempt: it {sent}"
            );
        }
    }
}
