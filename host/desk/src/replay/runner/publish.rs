//! Publishes one dead letter.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use base::clock;
use desk_api::DeadLetter;
use kafka::publisher::{Derived, Destination, Placed};
use rdkafka::error::RDKafkaErrorCode;
use tokio::task::JoinSet;

use super::Runner;
use crate::replay::headers;
use crate::replay::items::{SentItem, SkippedItem};

/// The result for one dead letter.
pub(super) enum SendResult {
    Sent(SentItem),
    Skipped(SkippedItem),
    /// To be retried: the topic (None if Kafka does not answer at all), and the error.
    Failed(Option<String>, RDKafkaErrorCode),
}

impl Runner {
    pub(super) fn publish(
        &self,
        to: Destination,
        dead_letter: DeadLetter,
        position: i64,
    ) -> impl Future<Output = SendResult> + Send + 'static {
        let (shared, target) = (Arc::clone(&self.shared), self.replay.plan.target);
        let replay = self.replay.id.clone();
        async move {
            let now_ms = clock::now_ms();
            let headers = || headers::header_list(&dead_letter, &replay, position, target, now_ms);
            let (key, value) = (dead_letter.key.as_ref(), dead_letter.value.as_ref());
            let record = Derived {
                partition: dead_letter.source.partition,
                // The source of a dead letter may be older than any retention.
                timestamp_ms: None,
                key: key.map(|key| &key.0[..]),
                value: value.map(|value| &value.0[..]),
            };
            match shared.publisher.publish(&to, record, &headers).await {
                Ok(Placed { partition, offset }) => SendResult::Sent(SentItem {
                    position,
                    dead_letter: dead_letter.id.clone(),
                    topic: to.name().into_owned(),
                    partition,
                    offset: Some(offset),
                    group: dead_letter.consumer_group.clone(),
                    failed: None,
                }),
                Err(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    let reason = format!("it exceeds the size limit of {}", to.name());
                    SendResult::Skipped(SkippedItem { position, reason })
                }
                Err(code) => SendResult::Failed(Some(to.name().into_owned()), code),
            }
        }
    }
}

/// Spawns a publication after polling it once, so that records reach the producer in order.
pub(super) fn begin(
    publishing: &mut JoinSet<SendResult>,
    publication: impl Future<Output = SendResult> + Send + 'static,
) {
    let mut publication: Pin<Box<dyn Future<Output = SendResult> + Send>> = Box::pin(publication);
    match publication.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => publishing.spawn(async move { result }),
        Poll::Pending => publishing.spawn(publication),
    };
}
