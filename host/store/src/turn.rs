//! Turns to write a SQLite file.
//!
//! SQLite lets one connection write at a time. The others look again after up to 100 ms, in no order, so that a
//! connection which writes without a pause can keep all others out. Writers of this process queue here instead.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

/// The queues of a file's writers. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns {
    /// The order of writers that yield to the ledger.
    yielding: Arc<Mutex<()>>,
    /// The next writer: the ledger, or the first of those that yield.
    writer: Arc<Mutex<()>>,
}

/// The right to write until it is dropped.
#[derive(Debug)]
pub struct Turn {
    _writer: OwnedMutexGuard<()>,
    _yielding: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// The next turn after the current one: at most one other writer is ahead.
    pub async fn next(&self) -> Turn {
        Turn { _writer: Arc::clone(&self.writer).lock_owned().await, _yielding: None }
    }

    /// A turn after all writers that wait already.
    pub async fn last(&self) -> Turn {
        let yielding = Arc::clone(&self.yielding).lock_owned().await;
        Turn { _writer: Arc::clone(&self.writer).lock_owned().await, _yielding: Some(yielding) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test]
    async fn the_ledger_waits_for_one_writer_however_many_wait() {
        let (turns, order) = (Turns::default(), Arc::new(std::sync::Mutex::new(Vec::new())));
        let held = turns.last().await;
        let mut tasks = Vec::new();
        for number in 0..20 {
            let (turns, order) = (turns.clone(), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                let _turn = turns.last().await;
                order.lock().expect("no panic").push(number);
                sleep(Duration::from_millis(2)).await;
            }));
        }
        sleep(Duration::from_millis(20)).await;
        let ledger = tokio::spawn({
            let (turns, order) = (turns.clone(), Arc::clone(&order));
            async move {
                let _turn = turns.next().await;
                order.lock().expect("no panic").push(100);
            }
        });
        sleep(Duration::from_millis(20)).await;
        drop(held);
        ledger.await.expect("a turn");
        for task in tasks {
            task.await.expect("a turn");
        }
        assert_eq!(
            order.lock().expect("no panic")[..3],
            [100, 0, 1],
            "the ledger is next, and the others keep their order"
        );
    }

    #[tokio::test]
    async fn a_turn_that_is_not_awaited_any_more_stops_nobody() {
        let turns = Turns::default();
        let held = turns.last().await;
        for _ in 0..3 {
            assert!(timeout(Duration::from_millis(5), turns.next()).await.is_err());
            assert!(timeout(Duration::from_millis(5), turns.last()).await.is_err());
        }
        drop(held);
        drop(turns.next().await);
        drop(turns.last().await);
    }
}
