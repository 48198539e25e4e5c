//! Clients of Kafka: their configuration, their errors, and whether they still fetch.

pub mod client;
pub mod errors;
pub mod fetch_watch;

use kafka_raw as raw;
