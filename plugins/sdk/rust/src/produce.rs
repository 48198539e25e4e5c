//! Records for Kafka, which the host publishes. The configuration grants each topic with `allow = ["produce:TOPIC"]`.
//!
//! ```
//! use kafka_host_plugin::{Result, produce::{self, Record}};
//!
//! fn forward(order: serde_json::Value) -> Result<()> {
//!     produce::publish(&Record::json("orders.checked", &order).key("17"))?;
//!     Ok(())
//! }
//! ```
//!
//! A record that was published is not published again when its message is: the host answers from its ledger.

use serde::Serialize;

pub use crate::bindings::kafka_host::plugin::produce::{NewRecord as Record, Position, ProduceError};
use crate::{Failure, Header, Result, imports, reject, retry};

/// Publishes a record. All in-sync replicas have it then.
///
/// # Errors
/// It was not published. As a [`Failure`], a retry `produce-transient`, or a rejection: `produce-permanent`, or
/// `produce-denied` without a grant.
pub fn publish(record: &Record) -> Result<Position, ProduceError> {
    let results = imports::publish(std::slice::from_ref(record));
    let none = || ProduceError::Transient("the host returned no result for the record".to_owned());
    results.into_iter().next().ok_or_else(none)?
}

/// Publishes records and returns one result per record, in order. If one fails, those after it may have been published.
pub fn publish_all(records: &[Record]) -> Vec<Result<Position, ProduceError>> {
    imports::publish(records)
}

impl Record {
    /// A record without a key.
    pub fn new(topic: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self { topic: topic.into(), key: None, value: Some(value.into()), headers: vec![] }
    }

    /// A record whose value is JSON.
    ///
    /// # Panics
    /// The value has no JSON: a map whose keys are no texts, or an implementation of `Serialize` that fails.
    #[must_use]
    pub fn json(topic: impl Into<String>, value: &impl Serialize) -> Self {
        Self::new(topic, serde_json::to_vec(value).expect("the value can be written as JSON"))
    }

    /// Sets the key. Records with the same key are in the same partition.
    #[must_use]
    pub fn key(self, key: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push(Header::new(name, value));
        self
    }
}

impl From<ProduceError> for Failure {
    fn from(error: ProduceError) -> Self {
        match error {
            ProduceError::Transient(detail) => retry("produce-transient", detail),
            ProduceError::Permanent(detail) => reject("produce-permanent", detail),
            ProduceError::Denied(detail) => reject("produce-denied", detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Host, message};

    #[test]
    fn errors_become_failures() {
        for (error, failure) in [
            (ProduceError::Transient("x".into()), retry("produce-transient", "x")),
            (ProduceError::Permanent("x".into()), reject("produce-permanent", "x")),
            (ProduceError::Denied("x".into()), reject("produce-denied", "x")),
        ] {
            let mut host = Host::new().on_publish(move |_| Err(error.clone()));
            let record = Record::json("t", &"x").key("k").header("h", "v");
            let publish = move |_: u8| -> Result<()> { publish(&record).map(|_| ()).map_err(Into::into) };
            assert_eq!(host.handle(publish, &message(&1)), Err(failure));
            let [record] = &host.records[..] else { panic!("{:?}", host.records) };
            assert_eq!((&*record.topic, record.key.as_deref()), ("t", Some(&b"k"[..])));
            assert_eq!((record.value.as_deref(), record.headers.len()), (Some(&b"\"x\""[..]), 1));
        }
    }
}
