//! A producer with a thread that handles its events.

use std::ffi::c_void;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};
use rdkafka_sys as sys;

/// The longest sleep, which bounds the effect of a lost wake-up.
const MAX_SLEEP: Duration = Duration::from_secs(1);

/// A producer whose delivery reports are handled by a thread of its own.
///
/// That of `rdkafka`, `ThreadedProducer`, takes half a percent of a core while nothing happens: it has timeouts of whole
/// milliseconds and spins for the rest of each.
pub struct PolledProducer<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<C: ProducerContext + 'static> FromClientConfigAndContext<C> for PolledProducer<C> {
    fn from_config_and_context(config: &ClientConfig, context: C) -> KafkaResult<Self> {
        let producer: Arc<BaseProducer<C>> = Arc::new(config.create_with_context(context)?);
        let failed = |why: String| KafkaError::ClientCreation(why);
        let events = EventQueue::of(&producer).ok_or_else(|| failed("no queue of events".to_owned()))?;
        let events = Arc::new(events);
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, queue, stopped) = (Arc::clone(&producer), Arc::clone(&events), Arc::clone(&stop));
        let poll = move || {
            while !stopped.load(Ordering::Relaxed) {
                polled.poll(Duration::ZERO);
                if queue.is_empty() {
                    thread::park_timeout(MAX_SLEEP);
                }
            }
        };
        let thread = thread::Builder::new().name("publisher".to_owned()).spawn(poll);
        let thread = thread.map_err(|error| failed(format!("no thread: {error}")))?;
        let _ = events.thread.set(thread.thread().clone());
        Ok(Self { producer, stop, thread: Some(thread) })
    }
}

impl<C: ProducerContext + 'static> Deref for PolledProducer<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &BaseProducer<C> {
        &self.producer
    }
}

impl<C: ProducerContext + 'static> Drop for PolledProducer<C> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // If it panicked, its message has been printed.
            let _ = thread.join();
        }
    }
}

/// The queue of a client's events.
struct EventQueue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// Unparked when an event arrives in the empty queue.
    thread: Box<OnceLock<Thread>>,
}

// SAFETY: librdkafka's queues are thread-safe.
unsafe impl Send for EventQueue {}
// SAFETY: as above.
unsafe impl Sync for EventQueue {}

impl EventQueue {
    /// None if librdkafka is out of memory.
    fn of<C: ProducerContext>(producer: &BaseProducer<C>) -> Option<Self> {
        // SAFETY: the client is alive; the reference to its queue is ours.
        let queue = unsafe { sys::rd_kafka_queue_get_main(producer.client().native_ptr()) };
        let events = Self { queue: NonNull::new(queue)?, thread: Box::default() };
        let opaque = ptr::from_ref(&*events.thread).cast_mut().cast();
        // SAFETY: the queue is alive. `drop` ends the calls before it frees the thread, whose place does not change.
        unsafe { sys::rd_kafka_queue_cb_event_enable(queue, Some(unpark), opaque) };
        Some(events)
    }

    fn is_empty(&self) -> bool {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_length(self.queue.as_ptr()) == 0 }
    }
}

impl Drop for EventQueue {
    fn drop(&mut self) {
        // SAFETY: our reference to the queue, released once. librdkafka calls `unpark` with the queue locked, and this
        // locks it (`rd_kafka_q_cb_event_enable`).
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

unsafe extern "C" fn unpark(_: *mut sys::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the thread of a queue that is alive.
    let thread = unsafe { &*opaque.cast::<OnceLock<Thread>>() };
    thread.get().inspect(|thread| thread.unpark());
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rdkafka::client::ClientContext;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseRecord, DeliveryResult};

    use super::*;

    struct Reports(mpsc::Sender<i64>);

    impl ClientContext for Reports {}

    impl ProducerContext for Reports {
        type DeliveryOpaque = ();

        fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
            use rdkafka::message::Message as _;
            self.0.send(result.as_ref().expect("delivered").offset()).expect("awaited");
        }
    }

    #[test]
    fn each_record_is_reported_at_once_also_after_a_rest() {
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic("t", 1, 1).expect("a topic");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers()).set("linger.ms", "0");
        let (sender, reports) = mpsc::channel();
        let producer: PolledProducer<Reports> =
            config.create_with_context(Reports(sender)).expect("a producer");
        for offset in 0..20 {
            // Asleep, and awake.
            thread::sleep(Duration::from_millis(if offset % 2 == 0 { 30 } else { 0 }));
            producer.send(BaseRecord::<(), str>::to("t").payload("x")).expect("queued");
            assert_eq!(reports.recv_timeout(10 * MAX_SLEEP), Ok(offset));
        }
        let stop = producer.thread.as_ref().map(|thread| thread.thread().name().map(str::to_owned));
        assert_eq!(stop, Some(Some("publisher".to_owned())));
        drop(producer);
        assert!(reports.recv().is_err(), "the thread has ended");
    }
}
