//! Shared basics: user-facing errors, Kafka arguments, terminal text, the clock, bytes in JSON, throttled log messages.

pub mod bytes;
pub mod clock;
pub mod error;
pub mod kafka_args;
pub mod kafka_properties;
pub mod text;
pub mod throttle;
