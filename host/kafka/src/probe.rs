//! Asks now and then whether a broker answers at all; see [`raw::bootstrap_again`].

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};

use crate::raw;

/// How often it asks, and how long it waits for the answer.
const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(2);

/// What a consumer's thread asks by.
#[derive(Debug)]
pub struct Probe {
    servers: String,
    topic: String,
    next: Instant,
}

impl Probe {
    /// For a consumer with these settings that reads this topic.
    pub fn new(config: &ClientConfig, topic: &str) -> Self {
        let servers = config.get("bootstrap.servers").unwrap_or_default().to_owned();
        Self { servers, topic: topic.to_owned(), next: Instant::now() + INTERVAL }
    }

    /// Asks, where it is time to.
    pub fn turn<C: ConsumerContext>(&mut self, consumer: &BaseConsumer<C>) {
        if Instant::now() < self.next {
            return;
        }
        if consumer.client().fetch_metadata(Some(&self.topic), TIMEOUT).is_err() {
            raw::bootstrap_again(consumer.client(), &self.servers);
        }
        self.next = Instant::now() + INTERVAL;
    }
}
