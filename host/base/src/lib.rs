//! Shared basics: user-facing errors, findings of checks, Kafka arguments, names of topics, terminal text, the clock, bytes in JSON, throttled log messages,
//! standard error, the limit on open files.

pub mod bytes;
pub mod clock;
pub mod error;
pub mod files;
pub mod finding;
pub mod kafka_args;
pub mod kafka_properties;
pub mod stderr;
pub mod text;
pub mod throttle;
pub mod topic_name;
pub mod user;
