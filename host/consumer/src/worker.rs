//! The threads that run a plugin's messages.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::thread;

use kafka::delivery::Delivery;
use kafka::partition::Partition;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use crate::Pipeline;

/// How many calls a core has under way, unless a plugin says otherwise: they share a worker's thread,
/// and wait for I/O side by side.
const CALLS: usize = 32;
/// How many messages a worker takes from a partition at a time; the rest is left to the others.
const BATCH: usize = 16;

/// How many calls each worker may have under way, `concurrency` in all: a worker per core at most,
/// and none without a call.
pub fn shares(concurrency: Option<NonZeroU32>) -> Vec<usize> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let calls = concurrency.and_then(|calls| usize::try_from(calls.get()).ok()).unwrap_or(cores * CALLS);
    let workers = cores.min(calls);
    (0..workers).map(|worker| calls / workers + usize::from(worker < calls % workers)).collect()
}

/// Starts a worker with `calls` calls at a time. It ends when `ready` is closed and everything it took has ended.
///
/// # Errors
/// The thread or its runtime cannot be started.
pub fn spawn(
    name: String,
    calls: usize,
    pipeline: Arc<Pipeline>,
    ready: async_channel::Receiver<Weak<Partition>>,
) -> std::io::Result<thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    thread::Builder::new().name(name).spawn(move || {
        let worker = Rc::new(Worker { pipeline, slots: Semaphore::new(calls) });
        let tasks = LocalSet::new();
        tasks.block_on(&runtime, work(worker, ready));
        // What is still under way ends, or is cut off with its partition.
        runtime.block_on(tasks);
    })
}

struct Worker {
    pipeline: Arc<Pipeline>,
    slots: Semaphore,
}

async fn work(worker: Rc<Worker>, ready: async_channel::Receiver<Weak<Partition>>) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        // One slot at least is free before a partition is taken off the list.
        let Ok(first) = worker.slots.acquire().await else { return };
        drop(first);
        let Ok(partition) = ready.recv().await else { return };
        if let Some(partition) = partition.upgrade() {
            partition.take(worker.slots.available_permits().clamp(1, BATCH), &mut batch);
        }
        batch.drain(..).for_each(|delivery| begin(&worker, delivery));
        tokio::task::yield_now().await;
    }
}

/// Most calls end without waiting for anything: only those that wait become tasks.
fn begin(worker: &Rc<Worker>, delivery: Delivery) {
    let slot = Slot::take(worker);
    let owner = Rc::clone(worker);
    let mut run = Box::pin(async move { owner.pipeline.run(delivery, slot).await });
    let mut context = Context::from_waker(Waker::noop());
    // A panic costs its own message, as it does in a task.
    let first = catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(&mut context)));
    if matches!(first, Ok(Poll::Pending)) {
        tokio::task::spawn_local(run);
    }
}

/// What a call occupies on its worker.
struct Slot(Rc<Worker>);

impl Slot {
    fn take(worker: &Rc<Worker>) -> Self {
        worker.slots.forget_permits(1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.slots.add_permits(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_the_calls_out_and_none_is_idle() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        assert_eq!(shares(None), vec![CALLS; cores]);
        assert_eq!(shares(NonZeroU32::new(1)), [1]);
        for calls in [2, 3, 7, 100, 1000] {
            let shares = shares(NonZeroU32::new(calls));
            assert_eq!(shares.iter().sum::<usize>(), calls as usize);
            assert!(shares.len() <= cores && shares.iter().all(|share| *share > 0), "{shares:?}");
            assert!(shares[0] - shares[shares.len() - 1] <= 1, "{shares:?}");
        }
    }
}
