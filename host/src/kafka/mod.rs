//! Kafka: settings, consumer, offsets, publishing, topics.

pub mod client;
