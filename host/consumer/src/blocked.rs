//! A publish that fails: its partition waits, and it is said why.

use std::time::Duration;

use kafka::delivery::Delivery;
use kafka::errors;
use kafka::publisher::{Destination, Publisher};
use rdkafka::error::RDKafkaErrorCode;

use crate::metrics;

/// The first and the longest wait before a publish is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often a publish that keeps failing is reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);

/// A publish that failed and is tried again: its partition waits.
pub(super) struct Blocked<'a> {
    delivery: &'a Delivery,
    publisher: &'a Publisher,
    backoff: Duration,
}

impl<'a> Blocked<'a> {
    pub(super) fn new(delivery: &'a Delivery, publisher: &'a Publisher) -> Self {
        delivery.partition().block();
        Self { delivery, publisher, backoff: BACKOFF.0 }
    }

    pub(super) async fn wait(&mut self, to: &Destination, code: RDKafkaErrorCode) {
        self.report(to, Some(code));
        tokio::time::sleep(self.backoff).await;
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
    }

    /// Once for the partition, however many of its messages wait, and then at intervals.
    /// Without a code nothing came back yet.
    pub(super) fn report(&self, to: &Destination, code: Option<RDKafkaErrorCode>) {
        const NOTHING: &str = "no acknowledgement";
        self.publisher.doubt();
        match &code {
            Some(code) => metrics::publish_failed(&to.name(), code),
            None => metrics::publish_failed(&to.name(), &NOTHING),
        }
        let partition = self.delivery.partition();
        if partition.may_report(REPORT_INTERVAL) {
            let error = code.map_or_else(|| NOTHING.to_owned(), errors::short);
            let said = self.publisher.last_said().filter(|_| code.is_none_or(errors::is_silence));
            tracing::error!(
                to = %to.name(), error, said, help = errors::publish_help(code, &to.name()),
                topic = partition.topic(), partition = partition.index(), offset = self.delivery.message().offset(),
                "cannot publish a failed message; its partition waits until it can"
            );
        }
    }
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        self.delivery.partition().unblock();
    }
}
