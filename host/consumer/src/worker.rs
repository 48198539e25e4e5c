//! The worker threads that process a plugin's messages.

use std::future::poll_fn;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use kafka::partition::Partition;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::gate::{Admission, Gate};
use crate::{Pipeline, max_batch};

/// The default number of concurrent calls per core. They share a worker's thread while they wait for I/O.
const CALLS_PER_CORE: usize = 32;
/// The maximum number of messages that a worker takes from a partition at once, to leave the others to other workers,
/// unless the plugin takes more in one call.
const MAX_TAKEN: usize = 16;
/// The interval at which messages are given up while the plugin is handed none.
const GIVE_UP_INTERVAL: Duration = Duration::from_millis(250);

/// The maximum number of concurrent calls of each worker, `concurrency` in total. There is at most one worker
/// per core, and each has at least one call.
pub fn shares(concurrency: Option<NonZeroU32>) -> Vec<usize> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let calls =
        concurrency.and_then(|calls| usize::try_from(calls.get()).ok()).unwrap_or(cores * CALLS_PER_CORE);
    let workers = cores.min(calls);
    (0..workers).map(|worker| calls / workers + usize::from(worker < calls % workers)).collect()
}

/// Starts a worker with up to `calls` concurrent calls. It ends when `ready` is closed and all of its
/// deliveries have ended.
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
        // The remaining deliveries end, or are cancelled with their partitions.
        runtime.block_on(tasks);
    })
}

struct Worker {
    pipeline: Arc<Pipeline>,
    slots: Semaphore,
}

async fn work(worker: Rc<Worker>, ready: async_channel::Receiver<Weak<Partition>>) {
    let gate = Arc::clone(&worker.pipeline.gate);
    let (mut of_messages, mut of_batches) = (Calls::new(), Calls::new());
    let max_batch = max_batch(&worker.pipeline.plugin, &worker.pipeline.subscription);
    let mut batch = Vec::with_capacity(MAX_TAKEN.max(max_batch));
    loop {
        // At least one slot must be free before a partition is taken off the list.
        let Ok(first) = worker.slots.acquire().await else { return };
        drop(first);
        let Ok(partition) = ready.recv().await else { return };
        worker.give_up(&partition);
        // A retry is alone, because it may be what fails a batch.
        let batches = max_batch > 1 && partition.upgrade().is_some_and(|partition| !partition.is_retry());
        let (max, mut probe) = match gate.admit() {
            Admission::Open if batches => (max_batch, None),
            Admission::Open => (worker.slots.available_permits().clamp(1, MAX_TAKEN), None),
            Admission::Probe(probe) => (1, Some(probe)),
            Admission::Closed => match worker.hold(&gate, &ready, partition).await {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        if let Some(partition) = partition.upgrade() {
            partition.take(max, &mut batch);
        }
        if batches && batch.len() > 1 {
            let batch = std::mem::replace(&mut batch, Vec::with_capacity(max_batch));
            let owner = Rc::clone(&worker);
            let slot = Slot::take(&worker);
            of_batches.start(async move { owner.pipeline.run_batch(batch, slot).await });
        } else {
            for delivery in batch.drain(..) {
                let (owner, slot, probe) = (Rc::clone(&worker), Slot::take(&worker), probe.take());
                of_messages.start(async move { owner.pipeline.run(delivery, slot, probe).await });
            }
        }
        tokio::task::yield_now().await;
    }
}

impl Worker {
    /// Keeps partitions off the list until the gate lets messages through, then adds them again. Nothing is read from
    /// them, so that their messages stay in Kafka, apart from what librdkafka has fetched; only what operators have given
    /// up is.
    ///
    /// # Errors
    /// The list is closed.
    async fn hold(
        self: &Rc<Self>,
        gate: &Gate,
        ready: &async_channel::Receiver<Weak<Partition>>,
        first: Weak<Partition>,
    ) -> Result<(), async_channel::RecvError> {
        let mut held = vec![first];
        loop {
            tokio::select! {
                () = gate.admits() => break,
                next = ready.recv() => held.push(next?),
                () = sleep(GIVE_UP_INTERVAL) => held.iter().for_each(|partition| self.give_up(partition)),
            }
            if held.len() == held.capacity() {
                // Rebalances replace partitions, also during a pause.
                held.retain(|partition| partition.strong_count() > 0);
            }
        }
        held.iter().filter_map(Weak::upgrade).for_each(|partition| partition.requeue());
        Ok(())
    }

    /// Makes dead letters of what operators have given up. That calls no plugin, and needs no slot.
    fn give_up(self: &Rc<Self>, partition: &Weak<Partition>) {
        let mut given_up = Vec::new();
        partition.upgrade().inspect(|partition| partition.take_given_up(&mut given_up));
        for delivery in given_up {
            let owner = Rc::clone(self);
            tokio::task::spawn_local(async move { owner.pipeline.give_up(delivery).await });
        }
    }
}

/// Starts calls in memory that is reused for the next one: most of them end at once.
struct Calls<R>(Pin<Box<Option<R>>>);

impl<R: Future<Output = ()> + 'static> Calls<R> {
    fn new() -> Self {
        Self(Box::pin(None))
    }

    /// Starts a call. Only one that has to wait becomes a task.
    fn start(&mut self, run: R) {
        self.0.set(Some(run));
        let mut context = Context::from_waker(Waker::noop());
        // As in a task, a panic affects only its own message.
        let first = catch_unwind(AssertUnwindSafe(|| poll(&mut self.0, &mut context)));
        if matches!(first, Ok(Poll::Pending)) {
            let mut waiting = std::mem::replace(&mut self.0, Box::pin(None));
            tokio::task::spawn_local(poll_fn(move |context| poll(&mut waiting, context)));
        } else {
            self.0.set(None);
        }
    }
}

fn poll<R: Future<Output = ()>>(run: &mut Pin<Box<Option<R>>>, context: &mut Context<'_>) -> Poll<()> {
    run.as_mut().as_pin_mut().map_or(Poll::Ready(()), |run| run.poll(context))
}

/// The capacity for one call of a worker.
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
    fn calls_are_distributed_over_the_workers() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        assert_eq!(shares(None), vec![CALLS_PER_CORE; cores]);
        assert_eq!(shares(NonZeroU32::new(1)), [1]);
        for calls in [2, 3, 7, 100, 1000] {
            let shares = shares(NonZeroU32::new(calls));
            assert_eq!(shares.iter().sum::<usize>(), calls as usize);
            assert!(shares.len() <= cores && shares.iter().all(|share| *share > 0), "{shares:?}");
            assert!(shares[0] - shares[shares.len() - 1] <= 1, "{shares:?}");
        }
    }
}
