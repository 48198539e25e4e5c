//! Replaces a client that would miss dead letters: because the topic was created again, or because it fetches nothing.

use std::thread;
use std::time::Duration;

use kafka::fetch_watch::Expected;
use kafka::raw::admin::{DescribeTopics, TopicId};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::progress::Context;
use super::{Member, RETRY, connect};

/// The timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Notices that the topic was deleted and created again: the client would go on at its position in the new log.
#[derive(Default)]
pub(super) struct LogWatch {
    request: Option<DescribeTopics>,
    id: Option<TopicId>,
}

impl LogWatch {
    fn ask(&mut self, consumer: &BaseConsumer<Context>, broker: i32, topic: &str) {
        if self.request.is_none() {
            self.request = Some(DescribeTopics::send(consumer, broker, &[topic], TIMEOUT));
        }
    }

    /// The topic's id, if it is another one than before. None if it is deleted, or Kafka gives no answer.
    fn other(&mut self, topic: &str) -> Option<TopicId> {
        let answer = self.request.as_ref()?.answer(Duration::ZERO)?;
        self.request = None;
        let found = answer.ok()?.get(topic)?.as_ref().ok()?.id?;
        (*self.id.get_or_insert(found) != found).then_some(found)
    }
}

impl Member {
    pub(super) fn watch_client(&mut self) {
        let Some(answer) = self.probe.run_if_due(&self.consumer) else { return };
        let (group, topic) = (&self.source.group, &self.source.topic);
        if let Some(id) = self.log.other(topic) {
            tracing::warn!(
                group,
                topic,
                "the topic was created again, and its dead letters are read from its beginning"
            );
            return self.begin_again(id);
        }
        if let Some(broker) = answer {
            self.log.ask(&self.consumer, broker, topic);
        }
        if let Some((topic, partition)) = self.unread() {
            tracing::warn!(
                group = self.source.group,
                topic,
                partition,
                "Kafka has dead letters of the partition, but the client fetches none; intake joins with a new client"
            );
            self.replace_client();
        }
    }

    /// A partition that the client leaves unread.
    fn unread(&mut self) -> Option<(String, i32)> {
        // A paused partition is not fetched.
        let assigned = match self.consumer.context().is_paused() {
            true => TopicPartitionList::new(),
            false => self.consumer.assignment().unwrap_or_default(),
        };
        let (elements, progress) = (assigned.elements(), self.records);
        let expected = elements.iter().map(|element| Expected {
            topic: element.topic(),
            partition: element.partition(),
            progress,
            next: None,
        });
        self.fetches.look(&self.consumer, expected)
    }

    /// Reads the new log of the topic. A dead letter that was read from it already is known to the store.
    fn begin_again(&mut self, id: TopicId) {
        self.consumer.context().forget();
        let result = self.consumer.assignment().and_then(|mut assigned| {
            if assigned.count() == 0 {
                return Ok(());
            }
            assigned.set_all_offsets(Offset::Offset(0))?;
            self.consumer.commit(&assigned, CommitMode::Sync)
        });
        match result {
            Ok(()) => {
                self.log.id = Some(id);
                self.replace_client();
            }
            // The id stays the former one, so that the next check tries again.
            Err(error) => {
                tracing::warn!(group = self.source.group, %error, "the first offsets cannot be committed yet");
            }
        }
    }

    fn replace_client(&mut self) {
        self.leave();
        self.log.request = None;
        self.fetches.forget();
        while !self.is_stopped() {
            match connect(&self.config, &self.source) {
                Ok(new) => {
                    self.consumer = new;
                    return;
                }
                Err(error) => tracing::error!(group = self.source.group, %error, "cannot create a client"),
            }
            thread::sleep(RETRY);
        }
    }
}
