//! The queue of one assigned partition.

use std::any::Any;
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka_sys as sys;

use crate::message::{Fetched, Message};

/// Called when a queue becomes nonempty, on one of librdkafka's threads and under the queue's lock: it must
/// be fast and must not call librdkafka.
pub type OnReady = Box<dyn Fn() + Send + Sync>;

/// The messages of one assigned partition.
pub struct Queue {
    ptr: NonNull<sys::rd_kafka_queue_t>,
    slot: &'static Slot,
    /// The generation of this queue's callback in the slot.
    generation: u64,
    client: NonNull<sys::rd_kafka_t>,
    topic: CString,
    partition: i32,
    /// The consumer must outlive its queues.
    _consumer: Arc<dyn Any + Send + Sync>,
}

/// Holds the callback of a partition. A partition that is assigned again gets the same queue from librdkafka,
/// while messages of the earlier assignment may still reference it. The callback is therefore never disabled
/// in librdkafka, but removed from the slot by its owner. There is one slot per partition that a client was
/// ever assigned.
#[derive(Default)]
struct Slot {
    /// The callback and its generation.
    on_ready: Mutex<(u64, Option<OnReady>)>,
}

impl Slot {
    fn of(client: *mut sys::rd_kafka_t, topic: &str, partition: i32) -> &'static Self {
        type Slots = HashMap<(usize, String, i32), &'static Slot>;
        static SLOTS: OnceLock<Mutex<Slots>> = OnceLock::new();
        let key = (client.addr(), topic.to_owned(), partition);
        SLOTS.get_or_init(Mutex::default).lock().entry(key).or_insert_with(|| Box::leak(Box::default()))
    }

    fn set(&self, on_ready: OnReady) -> u64 {
        let mut slot = self.on_ready.lock();
        *slot = (slot.0 + 1, Some(on_ready));
        slot.0
    }

    fn clear(&self, generation: u64) {
        let mut slot = self.on_ready.lock();
        if slot.0 == generation {
            slot.1 = None;
        }
    }
}

// SAFETY: librdkafka's queues are thread-safe, and the slot is Sync.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// Redirects the partition's messages from the consumer's common queue to a queue of their own. Must be
    /// called before the partition is assigned; otherwise messages may still arrive in the common queue.
    ///
    /// None if librdkafka does not know the partition.
    pub fn of_partition<C: ConsumerContext + 'static>(
        consumer: Arc<BaseConsumer<C>>,
        topic: &str,
        partition: i32,
        on_ready: OnReady,
    ) -> Option<Arc<Self>> {
        let name = CString::new(topic).ok()?;
        let client = consumer.client().native_ptr();
        // SAFETY: the client lives as long as `consumer`, the name for the call.
        let queue = unsafe { sys::rd_kafka_queue_get_partition(client, name.as_ptr(), partition) };
        let ptr = NonNull::new(queue)?;
        let slot = Slot::of(client, topic, partition);
        let generation = slot.set(on_ready);
        // SAFETY: the queue is ours; the slot is never freed.
        unsafe {
            sys::rd_kafka_queue_forward(ptr.as_ptr(), ptr::null_mut());
            let slot = ptr::from_ref(slot).cast_mut().cast();
            sys::rd_kafka_queue_cb_event_enable(ptr.as_ptr(), Some(call_on_ready), slot);
        }
        let client = NonNull::new(client)?;
        Some(Arc::new(Self { ptr, slot, generation, client, topic: name, partition, _consumer: consumer }))
    }

    /// The number of events that were fetched and not read.
    pub fn fetched(&self) -> usize {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_length(self.ptr.as_ptr()) }
    }

    /// The offset of the partition's first record as of the last fetch. None before the first fetch.
    pub fn known_first(&self) -> Option<i64> {
        // SAFETY: the consumer, and with it its client, lives as long as this queue.
        unsafe { crate::known_bounds(self.client.as_ptr(), &self.topic, self.partition) }.0
    }

    /// Moves up to `max` available events into `into` without waiting. Returns the number of events that
    /// librdkafka returned: fewer than `max` means that the queue is empty. Errors that librdkafka reports in
    /// place of messages are passed to `on_error`.
    ///
    /// Reads one event per call: `rd_kafka_consume_batch_queue` treats an error or the end of the partition
    /// as a message and advances the client's position past a message that was not read. Every cooperative
    /// rebalance pauses the partitions that stay assigned and resumes at that position, which would lose the
    /// message.
    pub fn read(
        self: &Arc<Self>,
        max: usize,
        into: &mut Vec<Event>,
        mut on_error: impl FnMut(KafkaError),
    ) -> usize {
        for count in 0..max {
            // SAFETY: the queue is alive; a message that it returns is ours, and `Fetched` destroys it.
            let pointer = unsafe { sys::rd_kafka_consume_queue(self.ptr.as_ptr(), 0) };
            let Some(ptr) = NonNull::new(pointer) else { return count };
            let fetched = Fetched::new(ptr, Arc::clone(self));
            match fetched.raw().err {
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {
                    into.push(Event::Message(Message::new(fetched)));
                }
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                    into.push(Event::End(fetched.offset()));
                }
                code => on_error(KafkaError::MessageConsumption(code.into())),
            }
        }
        max
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.slot.clear(self.generation);
        // SAFETY: our reference to the queue, released once.
        unsafe { sys::rd_kafka_queue_destroy(self.ptr.as_ptr()) }
    }
}

unsafe extern "C" fn call_on_ready(_: *mut sys::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is a slot, which is never freed.
    let slot = unsafe { &*opaque.cast::<Slot>() };
    if let Some(on_ready) = &slot.on_ready.lock().1 {
        on_ready();
    }
}

/// An entry of a partition's queue, in the partition's order.
pub enum Event {
    /// A record.
    Message(Message),
    /// The end of the partition was reached, at this offset. Only with `enable.partition.eof`.
    End(i64),
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
