//! Questions to Kafka that a person waits for: asked within a bound, in the background, and remembered.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka::client;
use kafka::errors::{self, Context};
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use settings::KafkaArgs;
use tokio::sync::Notify;
use tokio::time::timeout_at;

pub mod members;
pub mod readers;

/// For how long an answer is used while Kafka gives no newer one.
const KEPT: Duration = Duration::from_secs(600);
/// The timeout of one request.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
/// The time that an error may need to arrive as an event.
const EVENT_WAIT: Duration = Duration::from_millis(50);
/// The maximum number of names that are asked for together.
const MAX_NAMES: usize = 1000;

/// A question about topics or groups, by their names. Blocks its thread.
type Question<A> = fn(&BaseConsumer<Context>, &BTreeSet<String>) -> KafkaResult<A>;

/// Asks Kafka, and remembers its last answer. One client asks at a time, however many wait for it.
pub struct Inquiry<A> {
    kafka: KafkaArgs,
    question: Question<A>,
    /// For how long an answer is used without asking again.
    fresh: Duration,
    state: Mutex<State<A>>,
    /// Notified when an answer has come, or a failure.
    answered: Notify,
}

struct State<A> {
    known: Option<Known<A>>,
    asking: Option<Arc<BaseConsumer<Context>>>,
    /// The reason why the last question has no answer.
    failure: Option<String>,
}

struct Known<A> {
    at: Instant,
    names: BTreeSet<String>,
    answer: A,
}

impl<A: Clone + Send + 'static> Inquiry<A> {
    /// Asks a Kafka with these settings, again when an answer is older than `fresh`.
    pub fn new(kafka: &KafkaArgs, question: Question<A>, fresh: Duration) -> Arc<Self> {
        let state = State { known: None, asking: None, failure: None };
        Arc::new(Self {
            kafka: kafka.clone(),
            question,
            fresh,
            state: Mutex::new(state),
            answered: Notify::new(),
        })
    }

    /// The answer for these names. Waits for Kafka for up to `bound`; an answer that comes later is for the next call.
    ///
    /// # Errors
    /// The reason why there is no answer, nor one of the last minutes.
    pub async fn of(self: &Arc<Self>, names: &BTreeSet<String>, bound: Duration) -> Result<A, String> {
        let until = tokio::time::Instant::now() + bound;
        loop {
            let mut answered = pin!(self.answered.notified());
            answered.as_mut().enable();
            if let Some(answer) = self.known(names, self.fresh) {
                return Ok(answer);
            }
            self.ask(names);
            let is_late = timeout_at(until, answered).await.is_err();
            if is_late || self.state.lock().failure.is_some() {
                return self.known(names, KEPT).ok_or_else(|| self.reason());
            }
        }
    }

    fn known(&self, names: &BTreeSet<String>, max_age: Duration) -> Option<A> {
        let state = self.state.lock();
        let known = state.known.as_ref()?;
        (known.at.elapsed() < max_age && names.is_subset(&known.names)).then(|| known.answer.clone())
    }

    /// Asks in the background, unless a question is on its way.
    fn ask(self: &Arc<Self>, names: &BTreeSet<String>) {
        let mut state = self.state.lock();
        if state.asking.is_some() {
            return;
        }
        state.failure = None;
        let consumer = match client::open(&self.kafka, &[]) {
            Ok(consumer) => Arc::new(consumer),
            Err(error) => {
                state.failure = Some(error.problem().to_owned());
                self.answered.notify_waiters();
                return;
            }
        };
        let mut all = names.clone();
        let before = state.known.iter().flat_map(|known| &known.names).cloned();
        all.extend(before.take(MAX_NAMES.saturating_sub(names.len())));
        state.asking = Some(Arc::clone(&consumer));
        let inquiry = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            inquiry.finish((inquiry.question)(&consumer, &all), all, consumer)
        });
    }

    fn finish(&self, answer: KafkaResult<A>, names: BTreeSet<String>, consumer: Arc<BaseConsumer<Context>>) {
        let mut state = self.state.lock();
        state.asking = None;
        match answer {
            Ok(answer) => state.known = Some(Known { at: Instant::now(), names, answer }),
            Err(error) => state.failure = Some(cause(&consumer).unwrap_or_else(|| errors::reason(&error))),
        }
        drop(state);
        self.answered.notify_waiters();
        // This may take a second, after the answer is there.
        drop(consumer);
    }

    /// Why there is no answer, as far as is known by now.
    fn reason(&self) -> String {
        let state = self.state.lock();
        let seen = state.asking.as_ref().and_then(|consumer| cause(consumer));
        let cause = state.failure.clone().or(seen).unwrap_or_else(|| "no answer in time".to_owned());
        format!("{} ({cause})", self.kafka.bootstrap_servers)
    }
}

/// The last error of the client's connection.
fn cause(consumer: &BaseConsumer<Context>) -> Option<String> {
    // Errors are queued as events, of which each attempt to connect makes new ones.
    let until = Instant::now() + EVENT_WAIT;
    while let Some(Err(_)) = consumer.poll(until.saturating_duration_since(Instant::now())) {}
    consumer.context().cause()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readers::{self, Readers};

    #[tokio::test(flavor = "multi_thread")]
    async fn without_kafka_nobody_waits_longer_than_the_bound() {
        let kafka = KafkaArgs {
            bootstrap_servers: "127.0.0.1:1".to_owned(),
            properties: Vec::new(),
            environment_properties: None,
            file_properties: Vec::new(),
        };
        let fresh = Duration::from_millis(1);
        let inquiry = Inquiry::new(&kafka, readers::of, fresh);
        let topics = BTreeSet::from(["t".to_owned()]);
        let reason = inquiry.of(&topics, Duration::from_millis(600)).await.expect_err("no broker");
        assert_eq!(reason, "127.0.0.1:1 (connection refused)");
        assert!(inquiry.state.lock().asking.is_some(), "the question is still on its way");
        // What was known counts meanwhile.
        let answer = Readers { unknown: 3, ..Readers::default() };
        let at = Instant::now().checked_sub(2 * fresh).expect("a time");
        inquiry.state.lock().known = Some(Known { at, names: topics.clone(), answer: answer.clone() });
        assert_eq!(inquiry.of(&topics, Duration::from_millis(1)).await, Ok(answer));
        let more = BTreeSet::from(["t".to_owned(), "u".to_owned()]);
        assert!(inquiry.of(&more, Duration::from_millis(1)).await.is_err(), "not known for this topic");
    }
}
