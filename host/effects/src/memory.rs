//! Effects that are remembered over tries, redeliveries and replays.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::ledger::{Begun, Ledger};
use crate::metrics;
use crate::{Interrupted, Key, Performed, Record, Recorded};

/// How long it is tried to write down what became of an effect.
const SETTLE: Duration = Duration::from_secs(30);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_secs(1);

type Answer<T, E> = Result<Result<T, E>, Interrupted>;

/// What messages have already sent, and what becomes of those of which nobody knows.
pub struct Memory {
    ledger: Ledger,
    /// The groups in which what may have been sent is not sent again.
    never_again: HashSet<String>,
}

/// What is to be written down of an effect that was tried.
enum End {
    Done(Record),
    Failed,
    Unknown,
}

impl Memory {
    /// Kept in this ledger. What an earlier try may have sent is sent again, but not in these groups.
    pub fn new(ledger: Ledger, never_again: HashSet<String>) -> Self {
        Self { ledger, never_again }
    }

    /// Performs the effect unless it was done. Answers once what became of it is written down, or could
    /// not be at first; ends once it is, or is given up.
    pub(super) async fn once<T: Recorded, E>(
        &self,
        key: Key,
        perform: impl Future<Output = Performed<T, E>>,
        reply: oneshot::Sender<Answer<T, E>>,
    ) {
        let is_new = match self.begin(&key).await {
            Ok(Begun::New) => true,
            Ok(Begun::Unsettled) => false,
            // Done it is; where its answer cannot be read, nobody can say more.
            Ok(Begun::Done(record)) => {
                let answer = T::recall(record).map(Ok).ok_or(Interrupted::Unknown);
                return drop(reply.send(answer));
            }
            Err(interrupted) => return drop(reply.send(Err(interrupted))),
        };
        if reply.is_closed() {
            // The call was cut off before anything was sent.
            let end = if is_new { End::Failed } else { End::Unknown };
            return self.write_for_good(&key, &end).await;
        }
        let (end, result) = match metrics::effect(&key.group, perform.await) {
            Performed::Done(answer) => (End::Done(answer.record()), Ok(answer)),
            Performed::Failed(error) if is_new => (End::Failed, Err(error)),
            // An earlier try may have sent it, whatever became of this one.
            Performed::Failed(error) | Performed::Unknown(error) => (End::Unknown, Err(error)),
        };
        let written = self.write(&key, &end).await;
        let _ = reply.send(Ok(result));
        if written.is_err() {
            self.write_for_good(&key, &end).await;
        }
    }

    async fn begin(&self, key: &Key) -> Result<Begun, Interrupted> {
        let count = |result| metrics::effect_is(&key.group, result);
        match self.ledger.begin(key).await {
            Ok(Begun::Unsettled) if self.never_again.contains(&*key.group) => {
                count("refused");
                Err(Interrupted::Unknown)
            }
            Ok(begun) => {
                match &begun {
                    Begun::New => {}
                    Begun::Unsettled => count("repeated"),
                    Begun::Done(_) => count("remembered"),
                }
                Ok(begun)
            }
            Err(why) => {
                count("unavailable");
                Err(Interrupted::Unavailable(why))
            }
        }
    }

    async fn write(&self, key: &Key, end: &End) -> Result<(), String> {
        match end {
            End::Done(record) => self.ledger.settle(key, record).await,
            End::Failed => self.ledger.forget(key).await,
            End::Unknown => Ok(()),
        }
    }

    async fn write_for_good(&self, key: &Key, end: &End) {
        let started = Instant::now();
        while let Err(why) = self.write(key, end).await {
            if started.elapsed() >= SETTLE {
                let (group, message) = (&key.group, &key.message);
                let what = if matches!(end, End::Done(_)) { "was sent" } else { "was not sent" };
                tracing::error!(
                    %group, %message,
                    "what became of an effect could not be written down: it {what}; another try of the message does not know: {why}"
                );
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
