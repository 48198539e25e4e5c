//! Attempts to publish where nothing is granted, and more than the limits permit.

use crate::contract::exports::kafka_host::plugin::handler::Outcome;
use crate::contract::kafka_host::plugin::produce::{self, NewRecord, ProduceError};
use crate::{done, reject};

/// Done if the record was published.
pub fn attempt(action: &str, at: &str) -> Outcome {
    let record = NewRecord { topic: at.into(), key: None, value: Some(b"x".to_vec()), headers: vec![] };
    let records = match action {
        "to" => vec![record],
        "large" => vec![NewRecord { value: Some(vec![b'x'; 300 << 10]), ..record }],
        "giant" => vec![NewRecord { value: Some(vec![b'x'; 5 << 20]), ..record }],
        "none" => vec![],
        "flood" => loop {
            produce::publish(std::slice::from_ref(&record));
        },
        action => panic!("unknown produce action {action}"),
    };
    match produce::publish(&records).pop() {
        None => done(),
        Some(Ok(_)) => reject("reached", at),
        Some(Err(ProduceError::Permanent(detail))) => reject("refused", &detail),
        Some(Err(ProduceError::Transient(detail))) => reject("failed", &detail),
        Some(Err(ProduceError::Denied(detail))) => reject("denied", &detail),
    }
}
