//! A publish that fails and blocks its partition.

use std::time::Duration;

use kafka::delivery::Delivery;
use kafka::errors;
use kafka::publisher::{Destination, Publisher};
use rdkafka::error::RDKafkaErrorCode;

use crate::metrics;

/// The minimum and maximum pause before a publish is repeated.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Blocks a partition while a publish fails and is repeated.
pub(super) struct BlockedPublish<'a> {
    delivery: &'a Delivery,
    publisher: &'a Publisher,
    backoff: Duration,
}

impl<'a> BlockedPublish<'a> {
    /// Blocks the partition of a delivery.
    pub(super) fn new(delivery: &'a Delivery, publisher: &'a Publisher) -> Self {
        delivery.partition().block();
        Self { delivery, publisher, backoff: BACKOFF.0 }
    }

    /// Reports the failure and waits before the next attempt.
    pub(super) async fn wait(&mut self, to: &Destination, code: RDKafkaErrorCode) {
        self.report(to, Some(code));
        tokio::time::sleep(self.backoff).await;
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
    }

    /// Counts a failure and requests a check of the topics. Logs it once per partition, and then every 30 s.
    /// Without a code the record has not been acknowledged yet.
    pub(super) fn report(&self, to: &Destination, code: Option<RDKafkaErrorCode>) {
        const NO_ACKNOWLEDGEMENT: &str = "no acknowledgement";
        self.publisher.request_topic_check();
        match &code {
            Some(code) => metrics::publish_failed(&to.name(), code),
            None => metrics::publish_failed(&to.name(), &NO_ACKNOWLEDGEMENT),
        }
        let partition = self.delivery.partition();
        if partition.may_report() {
            let error = code.map_or_else(|| NO_ACKNOWLEDGEMENT.to_owned(), errors::short);
            let last_error = self.publisher.last_error().filter(|_| code.is_none_or(errors::is_no_response));
            tracing::error!(
                to = %to.name(), error, last_error, help = errors::publish_help(code, &to.name()),
                topic = partition.topic(), partition = partition.index(), offset = self.delivery.message().offset(),
                "cannot publish a failed message; its partition is blocked until this succeeds"
            );
        }
    }
}

impl Drop for BlockedPublish<'_> {
    fn drop(&mut self) {
        self.delivery.partition().unblock();
    }
}
