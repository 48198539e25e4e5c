//! The threads that run a plugin's messages.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::thread;

use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use super::Pipeline;
use crate::kafka::delivery::Delivery;
use crate::kafka::partition::Partition;

/// How many calls one worker has under way: they share its thread, and wait for I/O side by side.
pub const CALLS: usize = 32;
/// How many messages a worker takes from a partition at a time; the rest is left to the others.
const BATCH: usize = 16;

/// Starts a worker. It ends when `ready` is closed and everything it took has ended.
///
/// # Errors
/// The thread or its runtime cannot be started.
pub fn spawn(
    name: String,
    pipeline: Arc<Pipeline>,
    ready: async_channel::Receiver<Weak<Partition>>,
) -> std::io::Result<thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    thread::Builder::new().name(name).spawn(move || {
        let worker = Rc::new(Worker { pipeline, slots: Semaphore::new(CALLS) });
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
