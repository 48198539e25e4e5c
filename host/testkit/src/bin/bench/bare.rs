//! `bench bare`: the fastest consumer of messages with headers that librdkafka offers, without processing.
//! The queues of the partitions are forwarded to one queue per thread, which is read in batches.
#![allow(unsafe_code, reason = "the safe crate reads one message at a time, with an allocation each")]

use std::ffi::CString;
use std::hint::black_box;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rdkafka_sys as sys;
use testkit::Usage;

/// The settings of the host's consumer that affect speed.
const SETTINGS: &[(&str, &str)] = &[
    ("fetch.queue.backoff.ms", "5"),
    ("queued.max.messages.kbytes", "1024"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "earliest"),
];
const BATCH: usize = 256;
const WAIT_MS: i32 = 20;

/// Arguments of `bench bare`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Kafka brokers, comma-separated
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9092")]
    pub bootstrap_servers: String,
    /// The topic
    #[arg(long, default_value = "parse")]
    pub topic: String,
    /// How many messages to read, from the beginning
    #[arg(long, default_value_t = 1_000_000)]
    pub messages: u64,
    /// How many partitions the topic has
    #[arg(long, default_value_t = 4)]
    pub partitions: i32,
    /// How many threads read
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
    /// Any librdkafka property; repeat for more
    #[arg(short = 'X', value_name = "PROPERTY=VALUE")]
    pub properties: Vec<String>,
}

/// Reads the messages and prints one line of `name=value` pairs.
pub fn run(args: &Args) -> Result<()> {
    let consumer = consumer(args)?;
    let client = consumer.client().native_ptr();
    let topic = CString::new(args.topic.as_str())?;
    let queues: Vec<Queue> = (0..args.threads.max(1)).map(|_| Queue::new(client)).collect();
    for partition in 0..args.partitions {
        let queue = &queues[usize::try_from(partition)? % queues.len()];
        // SAFETY: the client outlives the queues. The reference to the partition's queue is released at once.
        unsafe {
            let source = sys::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition);
            sys::rd_kafka_queue_forward(source, queue.0);
            sys::rd_kafka_queue_destroy(source);
        }
    }
    let mut list = TopicPartitionList::new();
    for partition in 0..args.partitions {
        list.add_partition_offset(&args.topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&list).context("assigning the partitions")?;
    let (count, headers, first) = (AtomicU64::new(0), AtomicU64::new(0), OnceLock::new());
    thread::scope(|scope| {
        for queue in &queues {
            scope.spawn(|| read(queue, args.messages, &count, &headers, &first));
        }
    });
    let seconds = first.get().map_or(0.0, |start: &Instant| start.elapsed().as_secs_f64());
    let (read, usage) = (count.load(Ordering::Relaxed), Usage::own());
    println!(
        "messages={read} headers={} seconds={seconds:.3} rate={:.0} cpu={:.2} peak_rss={}",
        headers.load(Ordering::Relaxed),
        read as f64 / seconds,
        usage.cpu.as_secs_f64(),
        usage.peak_rss
    );
    // The queues are dropped before their client.
    drop(queues);
    Ok(())
}

fn consumer(args: &Args) -> Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &args.bootstrap_servers).set("group.id", "bare");
    for (key, value) in SETTINGS {
        config.set(*key, *value);
    }
    for property in &args.properties {
        let (key, value) = property.split_once('=').context("expected -X PROPERTY=VALUE")?;
        config.set(key, value);
    }
    Ok(config.create()?)
}

fn read(queue: &Queue, wanted: u64, count: &AtomicU64, headers: &AtomicU64, first: &OnceLock<Instant>) {
    let mut batch = [ptr::null_mut(); BATCH];
    while count.load(Ordering::Relaxed) < wanted {
        // SAFETY: `batch` has room for BATCH pointers.
        let read = unsafe { sys::rd_kafka_consume_batch_queue(queue.0, WAIT_MS, batch.as_mut_ptr(), BATCH) };
        let read = usize::try_from(read).unwrap_or(0);
        if read > 0 {
            first.get_or_init(Instant::now);
        }
        let (mut messages, mut seen) = (0, 0);
        for &message in &batch[..read] {
            // SAFETY: this code owns the message until it destroys it here.
            unsafe {
                if (*message).err == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    messages += 1;
                    seen += read_headers(message);
                    black_box(((*message).payload, (*message).len));
                }
                sys::rd_kafka_message_destroy(message);
            }
        }
        count.fetch_add(messages, Ordering::Relaxed);
        headers.fetch_add(seen, Ordering::Relaxed);
    }
}

/// # Safety
/// `message` is a live message.
unsafe fn read_headers(message: *mut sys::rd_kafka_message_t) -> u64 {
    let mut list = ptr::null_mut();
    // SAFETY: as above. The list and its contents live as long as the message.
    unsafe {
        if sys::rd_kafka_message_headers(message, &mut list)
            != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            return 0;
        }
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        let mut index = 0;
        while sys::rd_kafka_header_get_all(list, index, &mut name, &mut value, &mut size)
            == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            black_box((name, value, size));
            index += 1;
        }
        index as u64
    }
}

struct Queue(*mut sys::rd_kafka_queue_t);

// SAFETY: librdkafka's queues are thread-safe.
unsafe impl Sync for Queue {}

impl Queue {
    fn new(client: *mut sys::rd_kafka_t) -> Self {
        // SAFETY: the client is alive.
        Self(unsafe { sys::rd_kafka_queue_new(client) })
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the reference made in `new`.
        unsafe { sys::rd_kafka_queue_destroy(self.0) };
    }
}
