//! Publishes records with arbitrary bytes in keys, values and headers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::{Kafka, Record};
use crate::must;

const BOUND: Duration = Duration::from_secs(60);

impl Kafka {
    /// Publishes the records in order and waits for all acknowledgements. The default partitioner of
    /// librdkafka assigns records without a partition.
    ///
    /// # Panics
    /// A record is refused.
    #[track_caller]
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = Record>) {
        let sent = self.producer(&[]).and_then(|producer| producer.send(topic, records));
        must(sent.with_context(|| format!("publishing to {topic}")));
    }

    /// Publishes the records in one transaction, then commits or aborts it.
    #[track_caller]
    pub fn produce_transaction(&self, topic: &str, records: impl IntoIterator<Item = Record>, commit: bool) {
        let sent = self.producer(&[("transactional.id", "testkit")]).and_then(|producer| {
            producer.inner.init_transactions(BOUND)?;
            producer.inner.begin_transaction()?;
            producer.send(topic, records)?;
            if commit {
                producer.inner.commit_transaction(BOUND)?;
            } else {
                producer.inner.abort_transaction(BOUND)?;
            }
            Ok(())
        });
        must(sent.with_context(|| format!("a transaction on {topic}")));
    }

    fn producer(&self, settings: &[(&str, &str)]) -> Result<Publisher> {
        let mut config = self.config("");
        config.set("enable.idempotence", "true").set("linger.ms", "2").set("message.max.bytes", "100000000");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        let failures = Arc::new(Mutex::new(Vec::new()));
        let inner = config.create_with_context(Failures(Arc::clone(&failures)))?;
        Ok(Publisher { inner, failures })
    }
}

struct Publisher {
    inner: BaseProducer<Failures>,
    failures: Arc<Mutex<Vec<KafkaError>>>,
}

impl Publisher {
    fn send(&self, topic: &str, records: impl IntoIterator<Item = Record>) -> Result<()> {
        for record in records {
            self.send_one(topic, &record)?;
        }
        self.inner.flush(BOUND)?;
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = failures.first() {
            bail!("{} records were refused, the first: {first}", failures.len());
        }
        Ok(())
    }

    fn send_one(&self, topic: &str, record: &Record) -> Result<()> {
        let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        message.partition = (record.partition >= 0).then_some(record.partition);
        message.timestamp = (record.timestamp_ms != 0).then_some(record.timestamp_ms);
        message.headers = (!record.headers.is_empty()).then(|| raw_headers(&record.headers));
        loop {
            match self.inner.send(message) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    message = refused;
                    self.inner.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
        self.inner.poll(Duration::ZERO);
        Ok(())
    }
}

/// Headers with arbitrary bytes in their names, including NUL.
#[allow(unsafe_code, reason = "rdkafka takes header names as text only")]
fn raw_headers(headers: &[(Vec<u8>, Option<Vec<u8>>)]) -> OwnedHeaders {
    headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |all, (name, value)| {
        // SAFETY: insert() passes the address and length of the name to librdkafka and reads no byte of it as
        // text. The str does not outlive this call.
        let key = unsafe { std::str::from_utf8_unchecked(name) };
        all.insert(Header { key, value: value.as_deref() })
    })
}

/// Collects errors of deliveries.
struct Failures(Arc<Mutex<Vec<KafkaError>>>);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let failure = match result {
            Err((error, _)) => error.clone(),
            // librdkafka concludes that it was accepted, which is wrong if the broker was fenced meanwhile.
            Ok(record) if record.offset() < 0 => KafkaError::MessageProduction(RDKafkaErrorCode::Fail),
            Ok(_) => return,
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
    }
}
